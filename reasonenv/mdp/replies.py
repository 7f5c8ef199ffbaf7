"""Replies: what the environment says to a turn of the policy, at the level of text.

    def hotter(text: str, problem: Problem, state: dict) -> str | Verdict | bool | None:
        state["tries"] = state.get("tries", 0) + 1
        ...

A reply is called with the last turn of the policy when that ends. A text becomes the environment's turn, and the
policy goes on. A verdict, or True or False, ends the episode and is its verdict. None leaves the turn to the next
reply; if none has anything to say, the episode is over and its last turn is verified as ever. `state` is the dict of
the episode, which all its replies share. A class may have `start(problem)`, whose result is `state` then: a session,
ended by its `close()` if it has one (`memory.py` says when one is started anew). Functions and `start` may be
coroutines.

Attributes say more: `timeout` in seconds (30; None: it is called without a clock), `max_characters` of a text, `stop`
(a text: the reply is called behind it, within a turn, and what it returns is written into the turn), `budget` (a
function: the tokens of a response where those of the task are so many), `deterministic = False` where a reply is no
function of the episode, such as a search: then `replay` takes the recorded one. A reply that raises, or has no answer
in time, ends the episode with the verdict `error`, a failure of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.errors import UserError, title
from reasonenv.mdp.specs import Several, built, divided
from reasonenv.mdp.tools import MAX_CHARACTERS, TIMEOUT
from reasonenv.registry import Registry

Reply = Callable[[str, Problem, Any], Any]
Verify = Callable[[str, Problem], Verdict]

MAX_TRIES = 10
WRONG = (Reason.WRONG, Reason.NO_ANSWER, Reason.UNPARSABLE_ANSWER)


class Retry:
    """A wrong answer is told to be wrong and may be given again, so many tries in all. The last one counts.

    A response that could not be checked (timeout, error) is not called wrong: it ends the episode.
    """

    timeout = None
    feedback = "That is wrong. Try again."
    verify: Verify

    def __init__(self, tries: int | str = 2) -> None:
        if not str(tries).isdecimal() or not 1 <= int(tries) <= MAX_TRIES:
            raise UserError(
                f"replies has retry:{tries}; write retry:NUMBER, the number of tries, from 1 to {MAX_TRIES}"
            )
        self.tries = int(tries)

    def judged_by(self, verify: Verify) -> Self:
        """This reply, for a task with that verifier."""
        bound = type(self)(self.tries)
        bound.verify = verify
        return bound

    def budget(self, tokens: int) -> int:
        """As many tokens for each try, and what is said between them."""
        return self.tries * (tokens + 2 * len(self.feedback)) - 2 * len(self.feedback)

    def __call__(self, text: str, problem: Problem, state: dict[str, Any]) -> str | None:
        state["tries"] = state.get("tries", 0) + 1
        if state["tries"] >= self.tries or self.verify(text, problem).reason not in WRONG:
            return None
        return self.feedback


def _check_reply(name: str, reply: Any) -> None:
    if not callable(reply):
        raise UserError(f"reply {name!r} is {reply!r}; it must be a function (text, problem, state) -> text or None")


REPLIES: Registry[Any] = Registry(
    "reply",
    "reasonenv.replies",
    {"retry": Retry, "calculator": "reasonenv.mdp.calculator:InlineCalculator"},
    _check_reply,
)


def register_reply(name: str, entry_point: str | Reply) -> None:
    """Makes `replies=<name>` of a function, of a class of one, or of its `module:name`."""
    REPLIES.register(name, entry_point)


@dataclass(frozen=True)
class Responder:
    """A reply with what its attributes say of it."""

    name: str
    reply: Reply
    timeout: float | None
    max_characters: int
    stop: str
    deterministic: bool

    @property
    def has_session(self) -> bool:
        """Whether `state` is what its `start` returns."""
        return hasattr(self.reply, "start")


def named_replies(several: Several, verify: Verify) -> list[Responder]:
    """The replies that a setting names: `retry:3+mine.py:judge`, or a list of functions and names.

    `verify` is the verifier of the task. Raises `UserError` for an unknown name, and for what cannot be called.
    """
    responders = []
    for part in divided(several):
        reply = built(REPLIES, part)
        _check_reply(title(reply), reply)
        if hasattr(reply, "judged_by"):
            reply = reply.judged_by(verify)
        setting = partial(getattr, reply)
        responders.append(
            Responder(
                name=title(reply),
                reply=reply,
                timeout=setting("timeout", TIMEOUT),
                max_characters=setting("max_characters", MAX_CHARACTERS),
                stop=setting("stop", ""),
                deterministic=setting("deterministic", True),
            )
        )
    return responders
