"""What is random in the environment: stochastic and multi-turn variants of every task, as one setting.

`stochastic="calculator:0.2"` names a member of `DYNAMICS` and its strength. `Dynamics` write: at every state before the
end they may add tokens, or leave the turn to the policy. So the policy is never overruled: where the environment
writes, no action is taken, and what it wrote has `Role.ENVIRONMENT` and no gradient. `Rewording` changes the prompt and
writes nothing. The draws of an episode are a pure function of (its `noise` seed, purpose, problem, position).
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.errors import UserError
from reasonenv.mdp.state import State
from reasonenv.registry import Registry
from reasonenv.seeding import derive_seed, uniform
from reasonenv.tokenizer import Tokenizer
from reasonenv.verify.algebra.expression import Unreadable
from reasonenv.verify.algebra.parse import parse
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


class Dynamics(Variant, ABC):
    """One slot: what the environment writes at a state.

    A reply is a turn of its own if `own_turn`: the answer that is verified begins after it. Else it is a part of the
    text that the policy is writing. `stop` and `patience` only tell a sampler when to look; they decide nothing.
    """

    own_turn: ClassVar[bool] = False
    slow: ClassVar[bool] = False  # whether a reply may take a moment, in which other episodes are to go on
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


class Calculator(Dynamics):
    """Behind an arithmetic expression and `=` the environment writes its value, or, with this probability, `error`."""

    meaning = "the probability that the calculator fails"

    def prepare(self) -> None:
        self.stop = tuple(np.flatnonzero([piece.endswith("=") for piece in self.tokenizer.pieces]).tolist())
        self._calls = frozenset(self.stop)

    def reply(self, view: View) -> Sequence[int]:
        tokens = view.state.tokens
        if not tokens or tokens[-1] not in self._calls:
            return ()
        value = calculated(view.answer().rpartition("\n")[2])
        if value is None:
            return ()
        if self.happens(view.state):
            value = "error"
        return self.tokenizer.encode(value)

    def budget(self, tokens: int) -> int:
        return 2 * tokens  # a line whose calculation failed can be written again


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


class Retry(Dynamics):
    """A wrong answer is told to be wrong and may be given again, so many tries in all. The last one counts.

    A response that could not be checked (timeout, error) is not called wrong: it ends the episode.
    """

    meaning = "the number of tries"
    low, high = 1, 10
    whole = True
    own_turn = True

    def prepare(self) -> None:
        self._feedback = self._user_turn("That is wrong. Try again.")

    def reply(self, view: View) -> Sequence[int]:
        # The environment's own text may hold ends of turns (a chat template's), so only the policy's are tries.
        if not view.terminated or self._tries(view.state) >= self.strength:
            return ()
        verdict = view.verdict()
        if verdict is None or verdict.reason not in (Reason.WRONG, Reason.NO_ANSWER, Reason.UNPARSABLE_ANSWER):
            return ()
        return self._feedback

    def budget(self, tokens: int) -> int:
        return int(self.strength) * (tokens + len(self._feedback)) - len(self._feedback)

    def _tries(self, state: State) -> int:
        ends, written = self.tokenizer.ends, set(state.written)
        return sum(token in ends and at not in written for at, token in enumerate(state.tokens))

    def _user_turn(self, text: str) -> list[int]:
        """`text` as what follows the end of an answer: a user's turn in the model's template, or a line."""
        tokenizer = self.tokenizer
        if self.prompt_style == "plain" or not tokenizer.has_chat_template:
            return tokenizer.encode(f"\n{text}\n")
        mark = "an answer"
        behind = tokenizer.encode(tokenizer.chat(["a question", mark, text]).rpartition(mark)[2])
        if len(behind) < 2 or behind[0] not in tokenizer.ends or behind[-1] in tokenizer.ends:
            ends = ", ".join(tokenizer.pieces[i] for i in tokenizer.ends)
            raise UserError(
                f"the chat template does not close an answer with EOS or another end ({ends}); use prompt=plain"
            )
        return behind[1:]


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
    if not isinstance(kind, type) or not issubclass(kind, (Dynamics, Rewording)):
        raise UserError(
            f"dynamics {name!r} is {kind!r}; it must be a class derived from reasonenv.mdp.dynamics.Dynamics"
        )


DYNAMICS = Registry[type[Variant]](
    "dynamics",
    "reasonenv.dynamics",
    {
        "sticky": Sticky,
        "calculator": Calculator,
        "hint": Hint,
        "retry": Retry,
        "reword": Rewording,
        "interrupt": Interrupt,
    },
    _check_variant,
)


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
    kind = DYNAMICS.find(name)
    if not kind.low <= strength <= kind.high:
        raise UserError(
            f"stochastic is {spec!r}; write {name}:NUMBER, {kind.meaning}, from {kind.low:g} to {kind.high:g}"
        )
    if kind.whole and strength != int(strength):
        raise UserError(f"stochastic is {spec!r}; {kind.meaning} is counted, write {name}:{math.ceil(strength)}")
    return kind, strength


def calculated(line: str) -> str | None:
    """The value of the arithmetic expression that stands before the `=` at the end of `line`, exactly.

    None if there is none: an expression has at most 64 characters, digits and `+ - * / ( ) .`, and an operation. Its
    value is a whole number or a fraction; one that has none (a division by zero) is `error`.
    """
    before = line.removesuffix("=")
    rest = before.rstrip("0123456789.+-*/() ")
    expression = before[len(rest) :]
    glued = rest[-1:].isalnum() and not expression.startswith(" ")  # "2x+3" is no calculation
    if glued or len(expression) > 64 or not re.search(r"[0-9)]\s*[-+*/]\s*[-(]*[0-9.]", expression):
        return None
    if expression.lstrip()[0] in "+*/)":
        return None
    try:
        value = parse(expression).value
    except Unreadable as reason:
        return "error" if "zero" in str(reason) else None
    return None if value is None else str(value)


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
