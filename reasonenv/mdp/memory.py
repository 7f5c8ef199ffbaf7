"""What the replies of an episode remember, so that a transition stays a pure function of the state.

A state of the process holds a `Memory`, which nobody changes: its `shared` dict is copied before replies write into the
copy. A session, what the `start` of a reply has returned, may be a connection or a process and is not copied. It knows
which texts it has been given; where an episode is stepped from an earlier state again, a new one is started and given
the texts up to there once more.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.mdp.timed_call import result

Texts = tuple[str, ...]


class ReplySession:
    """What `reply.start(problem)` returns in one episode, and the texts that it has been given.

    A pickle or a copy has nothing started.
    """

    def __init__(self, reply: Callable[..., Any], problem: Problem) -> None:
        self._reply, self._problem = reply, problem
        self._texts: Texts | None = None  # None where nothing is started
        self._started: Any = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return ReplySession, (self._reply, self._problem)

    def answer(self, before: Texts, text: str) -> Any:
        """The reply to `text` in a session that has been given the texts `before`, and no others."""
        with self._lock:
            if before != self._texts:
                self._close()
                self._started = result(self._reply.start(self._problem))  # type: ignore[attr-defined]
                for earlier in before:
                    self._step(earlier)
            self._texts = (*before, text)
            return self._step(text)

    def _step(self, text: str) -> Any:
        return result(self._reply(text, self._problem, self._started))

    def close(self) -> None:
        """Ends what was started, by its own `close()` if it has one."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        started, self._started, self._texts = self._started, None, None
        if hasattr(started, "close"):
            result(started.close())

    def __del__(self) -> None:
        self._close()


@dataclass(frozen=True)
class Memory:
    """Of an episode at one state: the dict of its replies, and by reply the session with the texts given to it."""

    shared: dict[str, Any] = field(default_factory=dict)
    sessions: dict[int, tuple[ReplySession, Texts]] = field(default_factory=dict)

    def copied(self) -> dict[str, Any]:
        """The shared dict, for replies to write into. Raises `UserError` where it holds what cannot be copied."""
        try:
            return copy.deepcopy(self.shared)
        except Exception as error:
            raise UserError(
                f"the dict that replies and tools share in an episode cannot be copied ({type(error).__name__}: "
                f"{error}); keep plain data in it, and connections in what the start() of a reply returns"
            ) from error
