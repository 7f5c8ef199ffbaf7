"""What the environment says to a turn of the policy: the results of the tools that it calls, else the first reply."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from jinja2 import TemplateError

from reasonenv.core import Problem, Reason, Role, Trajectory, Verdict
from reasonenv.errors import UserError
from reasonenv.mdp.dynamics import ToolFailure
from reasonenv.mdp.memory import Memory, ReplySession
from reasonenv.mdp.replies import Responder
from reasonenv.mdp.state import State
from reasonenv.mdp.timed_call import call
from reasonenv.mdp.tools import CALLS, Tools, shortened
from reasonenv.mdp.turns import Turns
from reasonenv.tasks import scored


@dataclass(frozen=True)
class Said:
    """What the environment writes at a state, whether that is a turn of its own, and what is remembered.

    A `verdict` ends the episode, and nothing is written then.
    """

    tokens: Sequence[int]
    own_turn: bool
    memory: Memory
    verdict: Verdict | None = None


class Speaker(Protocol):
    """What answers the policy, behind the end of its turn or behind one of the tokens `stop`."""

    stop: tuple[int, ...]
    slow: bool  # whether an answer may take a moment

    def answer(self, state: State, problem: Problem, text: str, *, terminated: bool) -> Said | None:
        """What is said to `text`, the last turn so far; None if nothing."""


class Dialogue:
    """The replies and tools of a process, and how often tools fail."""

    def __init__(
        self,
        replies: Sequence[Responder],
        tools: Tools | None,
        turns: Turns,
        failure: ToolFailure | None = None,
    ) -> None:
        self.replies = tuple(replies)
        self.tools = tools
        self.turns = turns
        self.failure = failure
        inline = tuple({reply.stop for reply in replies} - {""})
        endings = tuple(text[-1] for text in inline)
        stops = [bool(inline) and piece.endswith(endings) for piece in turns.tokenizer.pieces]
        self.stop: tuple[int, ...] = tuple(np.flatnonzero(stops).tolist())
        self.results_in_template = tools is not None and tools.in_template and _has_tool_turns(turns)
        self.slow = tools is not None or any(reply.timeout is not None for reply in replies)
        if not all(reply.stop for reply in replies) or (tools is not None and not self.results_in_template):
            turns.user("a text")  # refuses a template that has no turns

    @property
    def deterministic(self) -> bool:
        """Whether all that is said is a function of the episode."""
        tools = self.tools is None or self.tools.deterministic
        return tools and all(reply.deterministic for reply in self.replies)

    def budget(self, tokens: int) -> int:
        """The response budget that suits a task whose default is `tokens`."""
        for responder in self.replies:
            budget: Callable[[int], int] | None = getattr(responder.reply, "budget", None)
            tokens = tokens if budget is None else budget(tokens)
        return tokens if self.tools is None else self.tools.budget(tokens)

    def answer(self, state: State, problem: Problem, text: str, *, terminated: bool) -> Said | None:
        """What is said to `text`, the last turn so far, which has ended or come upon a `stop`; None if nothing.

        Raises `UserError` for a reply that returns neither text nor verdict.
        """
        shared, sessions = state.memory.copied(), dict(state.memory.sessions)
        memory = Memory(shared, sessions)
        if terminated and self.tools is not None:
            results = self.tools.results(text, problem, shared, partial(self._fails, state))
            if results:
                return Said(self._tool_turn(results), True, memory)
        for number, responder in enumerate(self.replies):
            if not _applies(responder, text, terminated=terminated):
                continue
            value = self._value(number, responder, text, problem, memory)
            if isinstance(value, Verdict):
                self._close(sessions)
                return Said((), False, memory, value)
            if value is None:
                continue
            if responder.stop:
                value = "error" if self._fails(state, 0) else value
                return Said(self.turns.inline(value), False, memory)
            return Said(self.turns.user(value), True, memory)
        if terminated:
            self._close(sessions)
        return None

    def _close(self, sessions: dict[int, tuple[ReplySession, tuple[str, ...]]]) -> None:
        """Ends the sessions of an episode. What goes wrong in that is warned of, and changes no verdict."""
        for number, (session, _) in sessions.items():
            responder = self.replies[number]
            try:
                call(session.close, responder.timeout)
            except TimeoutError:
                _warn(f"reply {responder.name!r} could not be closed within {responder.timeout:g} seconds")
            except (Exception, SystemExit) as error:
                _warn(f"reply {responder.name!r} could not be closed: {type(error).__name__}: {error}")

    def _fails(self, state: State, number: int) -> bool:
        return self.failure is not None and self.failure.happens(state, number)

    def _tool_turn(self, results: Sequence[str]) -> list[int]:
        if self.results_in_template:
            return self.turns.tools(results)
        return self.turns.user("\n".join(f"<output>{text}</output>" for text in results))

    def _value(self, number: int, responder: Responder, text: str, problem: Problem, memory: Memory) -> Any:
        """What a reply returns: a text, a verdict or None. `memory` gains what it remembers."""
        run: Callable[[], Any] = partial(responder.reply, text, problem, memory.shared)
        if responder.has_session:
            session, before = memory.sessions.get(number) or (ReplySession(responder.reply, problem), ())
            memory.sessions[number] = session, (*before, text)
            run = partial(session.answer, before, text)
        where = f"reply {responder.name!r} on {problem.id}"
        try:
            value = call(run, responder.timeout)
        except UserError:
            raise
        except TimeoutError:
            memory.sessions.pop(number, None)  # whatever hangs in it still has it
            return _failure(f"{where}: no answer within {responder.timeout:g} seconds", problem)
        except (Exception, SystemExit) as error:
            return _failure(f"{where}: {type(error).__name__}: {error}", problem)
        if isinstance(value, (bool, np.bool_)) and not responder.stop:
            return scored(float(value), text, problem)
        if isinstance(value, str):
            if len(value) > responder.max_characters:
                _warn(f"{where}: {len(value)} characters, of which {responder.max_characters} are used")
            return shortened(value, responder.max_characters)
        if value is None or (isinstance(value, Verdict) and not responder.stop):
            return value
        raise UserError(
            f"{where} returned {value!r:.60} ({type(value).__name__}); it must return a text, None, or at the end of a "
            "turn a Verdict, True or False"
        )


class Recording:
    """A speaker that says what it has said in a trajectory, `offset` tokens of whose response stand in its prompt."""

    slow = False

    def __init__(self, trajectory: Trajectory, offset: int, stop: tuple[int, ...]) -> None:
        self.stop = stop
        self._trajectory, self._offset = trajectory, offset

    def answer(self, state: State, problem: Problem, text: str, *, terminated: bool) -> Said | None:
        """The tokens of the environment behind the last one of the policy."""
        start = len(state.tokens) - self._offset
        roles = self._trajectory.roles[start:]
        size = int(np.argmax(np.append(roles, Role.POLICY) == Role.POLICY))
        if size:
            return Said(self._trajectory.tokens[start : start + size].tolist(), terminated, state.memory)
        if terminated and not len(roles):
            return Said((), False, state.memory, self._trajectory.verdict)
        return None


def tool_calls(before: State, after: State) -> list[dict[str, Any]]:
    """The calls of tools between two states, each with its name, arguments and result."""
    earlier: list[dict[str, Any]] = before.memory.shared.get(CALLS, [])
    calls: list[dict[str, Any]] = after.memory.shared.get(CALLS, [])
    return calls[len(earlier) :]


def _applies(responder: Responder, text: str, *, terminated: bool) -> bool:
    """Whether a reply is to be called: at the end of a turn, or behind its `stop` within one."""
    if terminated:
        return not responder.stop
    return bool(responder.stop) and text.endswith(responder.stop)


def _failure(what: str, problem: Problem) -> Verdict:
    _warn(what)
    return Verdict(Reason.ERROR, None, problem.answer, cause=what)


def _warn(what: str) -> None:
    warnings.warn(what, stacklevel=3)


def _has_tool_turns(turns: Turns) -> bool:
    try:
        turns.tools(["a result"])
    except (TemplateError, TypeError, ValueError):
        return False
    return True
