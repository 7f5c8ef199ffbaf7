"""What is random in the environment: stochastic variants of every task, as one setting.

`stochastic="sticky:0.1+reword:0.5"` names members of `DYNAMICS` and their strengths. `Dynamics` write: at every state
before the end they may add tokens, or leave the turn to the policy. So the policy is never overruled: where the
environment writes, no action is taken, and what it wrote has `Role.ENVIRONMENT` and no gradient. `Rewording` changes
the prompt and writes nothing, `ToolFailure` what tools answer. The draws of an episode are a pure function of (its
`noise` seed, purpose, problem, position). What is not random, and says something to the policy, is a reply
(`replies.py`).
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from reasonenv.core import Problem, Verdict
from reasonenv.errors import UserError
from reasonenv.mdp.state import State
from reasonenv.registry import Registry
from reasonenv.seeding import derive_seed, uniform
from reasonenv.tokenizer import Tokenizer
from reasonenv.verify.extract import step_value


@dataclass  # not frozen, which would make it slower to make: there is one at every token
class View:
    """What dynamics may see of a state: they read it and change nothing."""

    state: State
    problem: Problem
    terminated: bool  # the last token ends the policy's turn
    answer: Callable[[], str]  # the text of the last turn so far, without the token that ends it
    verdict: Callable[[], Verdict | None]  # None until the episode would be over


class Variant:
    """What the number behind a name of `DYNAMICS` means and in which range it lies, and the draws of an episode."""

    meaning: ClassVar[str]  # of the strength, the number behind the name
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    whole: ClassVar[bool] = False  # whether the strength counts something

    def __init__(self, tokenizer: Tokenizer, prompt_style: str, strength: float) -> None:
        self.tokenizer = tokenizer
        self.prompt_style = prompt_style
        self.strength = strength
        self.prepare()

    def prepare(self) -> None:
        """Whatever can be made once."""

    def budget(self, tokens: int) -> int:
        """The response budget that suits a task whose default is `tokens`."""
        return tokens


class Rewording(Variant):
    """With this probability the question is asked in words: `7+5` as "seven plus five"."""

    meaning = "the probability that the question is asked in words"

    def applies(self, state: State) -> bool:
        """Whether this episode's question is asked in other words."""
        return uniform(state.noise, "Reword", state.index) < self.strength

    def rephrase(self, question: str) -> str:
        """The question in other words."""
        return in_words(question)


class ToolFailure(Variant):
    """With this probability a call of a tool comes to nothing, and the policy reads that it failed."""

    meaning = "the probability that a call of a tool fails"

    def happens(self, state: State, call: int) -> bool:
        """Whether call number `call` of the turn that ends in `state` fails."""
        return uniform(state.noise, "ToolFailure", state.index, len(state.tokens), call) < self.strength


class Dynamics(Variant, ABC):
    """One slot: what the environment writes at a state.

    A reply is a turn of its own if `own_turn`: the answer that is verified begins after it. Else it is a part of the
    text that the policy is writing. `stop` and `patience` only tell a sampler when to look; they decide nothing.
    """

    own_turn: ClassVar[bool] = False
    stop: tuple[int, ...] = ()  # tokens of the policy after which the environment may write
    patience: int | None = None  # it writes about so often, wherever it likes

    @abstractmethod
    def reply(self, view: View) -> Sequence[int]:
        """What the environment writes at an unfinished state or behind the end of a turn; perhaps nothing."""

    def happens(self, state: State) -> bool:
        """A draw that is true with probability `strength`, the same one at every visit of `state`."""
        name = type(self).__name__
        return uniform(state.noise, name, state.index, len(state.tokens)) < self.strength


class Sticky(Dynamics):
    """With this probability the last token is written once more, before the policy is asked for the next."""

    meaning = "the probability that a token is repeated"
    high = 0.9

    def prepare(self) -> None:
        if self.strength:
            self.patience = math.ceil(1 / self.strength)

    def reply(self, view: View) -> Sequence[int]:
        if view.terminated or not view.state.tokens or not self.happens(view.state):
            return ()
        return view.state.tokens[-1:]

    def budget(self, tokens: int) -> int:
        return math.ceil(tokens / (1 - self.strength))


class Hint(Dynamics):
    """The response begins with the value of the first reference step; with this probability it is a wrong one."""

    meaning = "the probability that the hint is wrong"
    own_turn = True

    def reply(self, view: View) -> Sequence[int]:
        state, steps = view.state, view.problem.steps
        if state.tokens or not steps:
            return ()
        value = step_value(steps[0])
        if value is None:
            return ()
        if self.happens(state):
            distance = 1 + derive_seed(state.noise, "distance", state.index) % 9
            value += distance if uniform(state.noise, "sign", state.index) < 0.5 else -distance
        return self.tokenizer.encode(f"Hint: the first step gives {value}\n")

    def budget(self, tokens: int) -> int:
        return tokens + len(self.tokenizer.encode("Hint: the first step gives -1234567\n"))


class Interrupt(Dynamics):
    """Thinking is ended once, after so many tokens or up to a fifth more, and the policy goes on with its answer.

    Forced interruption as in ScaleRL (2510.13786, section 4), which did so at a random one of 10,000 to 12,000 tokens
    and left 2,000 for the answer. A model with a token `</think>` is left alone once it has written that.
    """

    meaning = "the number of tokens that may pass before thinking is ended"
    low, high = 1, 10**6
    whole = True

    def prepare(self) -> None:
        self.patience = int(self.strength)
        closing = self.tokenizer.encode("</think>")
        self._close = closing if len(closing) == 1 else []
        text = "\nOkay, time is up. Let me stop thinking and formulate a final answer now.\n"
        self._message = [*self.tokenizer.encode(text), *self._close]

    def reply(self, view: View) -> Sequence[int]:
        state = view.state
        delay = derive_seed(state.noise, "Interrupt", state.index) % (int(self.strength) // 5 + 1)
        early = len(state.tokens) < self.strength + delay
        if early or state.written or view.terminated or set(self._close) & set(state.tokens):
            return ()
        return self._message

    def budget(self, tokens: int) -> int:
        return tokens + len(self._message)


def _check_variant(name: str, kind: Any) -> None:
    if not isinstance(kind, type) or not issubclass(kind, Variant):
        raise UserError(
            f"dynamics {name!r} is {kind!r}; it must be a class derived from reasonenv.mdp.dynamics.Dynamics"
        )


DYNAMICS = Registry[type[Variant]](
    "dynamics",
    "reasonenv.dynamics",
    {
        "sticky": Sticky,
        "hint": Hint,
        "reword": Rewording,
        "interrupt": Interrupt,
        "tool_failure": ToolFailure,
    },
    _check_variant,
)


# What is not random has another setting.
_MOVED = {
    "retry": "a wrong answer that may be given again is a reply; write replies={spec}",
    "calculator": "the calculator is a reply, and its failures are random; write replies=calculator "
    "stochastic=tool_failure:NUMBER",
}


def named_variants(specs: str | None) -> list[tuple[type[Variant], float]]:
    """The classes and strengths that a setting names: `sticky:0.1+hint:0.5`; none for None."""
    return [] if specs is None else [named_variant(spec) for spec in specs.split("+")]


def named_variant(spec: str) -> tuple[type[Variant], float]:
    """The class and the strength that `spec`, such as "sticky:0.1" or "mine.py:Slip:0.1", names.

    Raises `UserError` for an unknown name and for a strength out of its range.
    """
    name, _, text = spec.rpartition(":")
    try:
        strength = float(text)
    except ValueError:
        strength = math.nan
        if name not in DYNAMICS:
            name = spec  # a name alone
    if name in _MOVED and name not in DYNAMICS:
        raise UserError(f"stochastic is {spec!r}; {_MOVED[name].format(spec=spec)}")
    kind = DYNAMICS.find(name)
    if not kind.low <= strength <= kind.high:
        raise UserError(
            f"stochastic is {spec!r}; write {name}:NUMBER, {kind.meaning}, from {kind.low:g} to {kind.high:g}"
        )
    if kind.whole and strength != int(strength):
        raise UserError(f"stochastic is {spec!r}; {kind.meaning} is counted, write {name}:{math.ceil(strength)}")
    return kind, strength


_OPERATION = re.compile(r"(?<=[0-9)])\s*([-+*/])\s*(?=[0-9(])")
_SMALL = re.compile(r"(?<![\w.,$/-])[0-9]{1,2}(?![\w/%-]|[.,][0-9])")
_OPERATIONS = {"+": " plus ", "-": " minus ", "*": " times ", "/": " divided by "}
_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(question: str) -> str:
    """The same question with its operations and its whole numbers below 100 in words."""

    def word(match: re.Match[str]) -> str:
        number = int(match[0])
        if number < 20:
            return _ONES[number]
        tens, ones = _TENS[number // 10 - 2], _ONES[number % 10]
        return f"{tens}-{ones}".removesuffix("-zero")

    return _SMALL.sub(word, _OPERATION.sub(lambda match: _OPERATIONS[match[1]], question))
