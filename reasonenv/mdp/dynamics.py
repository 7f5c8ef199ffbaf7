"""What the environment does of its own accord: stochastic and multi-turn variants of every task, as one knob.

`stochastic="calculator:0.2"` names a member of `DYNAMICS` and its strength. Each is a function of the state alone: at
every state before the end the environment may write tokens, or leave the turn to the policy. So the policy is never
overruled: where the environment writes, no action is taken, and what it wrote has `Role.ENVIRONMENT` and no gradient.
The draws of an episode are a pure function of (its `noise` seed, purpose, problem, position).
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from reasonenv.core import Reason
from reasonenv.errors import UserError, unknown
from reasonenv.seeding import derive_seed, uniform
from reasonenv.verify.algebra.expression import Unreadable
from reasonenv.verify.algebra.parse import parse
from reasonenv.verify.extract import step_value

if TYPE_CHECKING:
    from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.state import State


class Dynamics(ABC):
    """Slots: what the environment writes at a state (`reply`), and whether it asks in other words (`rewords`).

    A reply is a turn of its own if `own_turn`: the answer that is verified begins after it. Else it is a part of the
    text that the policy is writing. `stop` and `patience` only tell a sampler when to look; they decide nothing.
    """

    meaning: ClassVar[str]  # of the strength, the number behind the name
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    whole: ClassVar[bool] = False  # whether the strength counts something
    own_turn: ClassVar[bool] = False
    stop: tuple[int, ...] = ()  # tokens of the policy after which the environment may write
    patience: int | None = None  # it writes about so often, wherever it likes

    def __init__(self, mdp: ReasoningMDP, strength: float) -> None:
        self.mdp = mdp
        self.value = strength

    @abstractmethod
    def reply(self, state: State) -> Sequence[int]:
        """What the environment writes at an unfinished `state` or behind an EOS; nothing leaves it as it is."""

    def rewords(self, state: State) -> bool:
        """Whether this episode's question is asked in other words."""
        return False

    def budget(self, tokens: int) -> int:
        """The response budget that suits a task whose own is `tokens`."""
        return tokens

    def happens(self, state: State) -> bool:
        """A draw that is true with probability `value`, the same one at every visit of `state`."""
        name = type(self).__name__
        return uniform(state.noise, name, state.index, len(state.tokens)) < self.value


class Sticky(Dynamics):
    """With this probability the last token is written once more, before the policy is asked for the next."""

    meaning = "the probability that a token is repeated"
    high = 0.9

    def __init__(self, mdp: ReasoningMDP, strength: float) -> None:
        super().__init__(mdp, strength)
        self.patience = math.ceil(1 / strength) if strength else None

    def reply(self, state: State) -> Sequence[int]:
        begun = bool(state.tokens) and not self.mdp.terminated(state)
        return state.tokens[-1:] if begun and self.happens(state) else ()

    def budget(self, tokens: int) -> int:
        return math.ceil(tokens / (1 - self.value))


class Calculator(Dynamics):
    """Behind an arithmetic expression and `=` the environment writes its value, or, with this probability, `error`."""

    meaning = "the probability that the calculator fails"

    def __init__(self, mdp: ReasoningMDP, strength: float) -> None:
        super().__init__(mdp, strength)
        pieces = mdp.tokenizer.pieces
        self.stop = tuple(np.flatnonzero([piece.endswith("=") for piece in pieces]).tolist())
        self._calls = frozenset(self.stop)

    def reply(self, state: State) -> Sequence[int]:
        if not state.tokens or state.tokens[-1] not in self._calls:
            return ()
        value = calculated(self.mdp.answer(state).rpartition("\n")[2])
        if value is None:
            return ()
        return self.mdp.tokenizer.encode("error" if self.happens(state) else value)

    def budget(self, tokens: int) -> int:
        return 2 * tokens  # a line whose calculation failed can be written again


class Hint(Dynamics):
    """The response begins with the value of the first reference step; with this probability it is a wrong one."""

    meaning = "the probability that the hint is wrong"
    own_turn = True

    def reply(self, state: State) -> Sequence[int]:
        steps = self.mdp.problem(state).steps
        value = step_value(steps[0]) if steps and not state.tokens else None
        if value is None:
            return ()
        if self.happens(state):
            distance = 1 + derive_seed(state.noise, "distance", state.index) % 9
            value += distance if uniform(state.noise, "sign", state.index) < 0.5 else -distance
        return self.mdp.tokenizer.encode(f"Hint: the first step gives {value}\n")

    def budget(self, tokens: int) -> int:
        return tokens + len(self.mdp.tokenizer.encode("Hint: the first step gives -1234567\n"))


class Retry(Dynamics):
    """A wrong answer is told to be wrong and may be given again, so many tries in all. The last one counts.

    A response that could not be checked (timeout, error) is not called wrong: it ends the episode.
    """

    meaning = "the number of tries"
    low, high = 1, 10
    whole = True
    own_turn = True

    def __init__(self, mdp: ReasoningMDP, strength: float) -> None:
        super().__init__(mdp, strength)
        self._feedback = self._in_turns("That is wrong. Try again.")

    def reply(self, state: State) -> Sequence[int]:
        # The environment's own text may hold an EOS (a chat template's), so only the policy's are tries.
        if not self.mdp.terminated(state) or self._tries(state) >= self.value:
            return ()
        verdict = self.mdp.verdict(state)
        told = (Reason.WRONG, Reason.NO_ANSWER, Reason.UNPARSABLE_ANSWER)
        return self._feedback if verdict is not None and verdict.reason in told else ()

    def budget(self, tokens: int) -> int:
        return int(self.value) * (tokens + len(self._feedback)) - len(self._feedback)

    def _tries(self, state: State) -> int:
        eos, written = self.mdp.tokenizer.eos_id, set(state.written)
        return sum(token == eos and at not in written for at, token in enumerate(state.tokens))

    def _in_turns(self, text: str) -> list[int]:
        """`text` as what follows the EOS of an answer: a user's turn in the model's template, or a line."""
        tokenizer = self.mdp.tokenizer
        if self.mdp.prompt_style == "plain" or not tokenizer.has_chat_template:
            return tokenizer.encode(f"\n{text}\n")
        eos, mark = tokenizer.decode([tokenizer.eos_id]), "an answer"
        behind = tokenizer.chat(["a question", mark, text]).rpartition(mark)[2]
        if not behind.startswith(eos) or behind.endswith(eos):
            raise UserError(
                f"the chat template does not close an answer with EOS ({eos!r}); use prompt=plain for retry"
            )
        return tokenizer.encode(behind.removeprefix(eos))


class Reword(Dynamics):
    """With this probability the question is asked in words: `7+5` as "seven plus five"."""

    meaning = "the probability that the question is asked in words"

    def reply(self, state: State) -> Sequence[int]:
        return ()

    def rewords(self, state: State) -> bool:
        return uniform(state.noise, "Reword", state.index) < self.value


class Interrupt(Dynamics):
    """Thinking is ended once, after so many tokens or up to a fifth more, and the policy goes on with its answer.

    Forced interruption as in ScaleRL (2510.13786, section 4), which did so at a random one of 10,000 to 12,000 tokens
    and left 2,000 for the answer. A model with a token `</think>` is left alone once it has written that.
    """

    meaning = "the number of tokens that may pass before thinking is ended"
    low, high = 1, 10**6
    whole = True

    def __init__(self, mdp: ReasoningMDP, strength: float) -> None:
        super().__init__(mdp, strength)
        self.patience = int(strength)
        closing = mdp.tokenizer.encode("</think>")
        self._closed = closing if len(closing) == 1 else []
        text = "\nOkay, time is up. Let me stop thinking and formulate a final answer now.\n"
        self._told = [*mdp.tokenizer.encode(text), *self._closed]

    def reply(self, state: State) -> Sequence[int]:
        late = derive_seed(state.noise, "Interrupt", state.index) % (int(self.value) // 5 + 1)
        if len(state.tokens) < self.value + late or state.written or self.mdp.terminated(state):
            return ()
        return () if self._closed and self._closed[0] in state.tokens else self._told

    def budget(self, tokens: int) -> int:
        return tokens + len(self._told)


DYNAMICS: dict[str, type[Dynamics]] = {
    "sticky": Sticky,
    "calculator": Calculator,
    "hint": Hint,
    "retry": Retry,
    "reword": Reword,
    "interrupt": Interrupt,
}


def make_dynamics(mdp: ReasoningMDP, spec: str) -> Dynamics:
    """The dynamics that `spec`, such as "sticky:0.1", names. Raises `UserError` for an unknown name or strength."""
    name, _, text = spec.partition(":")
    if name not in DYNAMICS:
        raise unknown("stochastic", name, DYNAMICS)
    kind = DYNAMICS[name]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not kind.low <= value <= kind.high:
        raise UserError(
            f"stochastic is {spec!r}; write {name}:NUMBER, {kind.meaning}, from {kind.low:g} to {kind.high:g}"
        )
    if kind.whole and value != int(value):
        raise UserError(f"stochastic is {spec!r}; {kind.meaning} is counted, write {name}:{math.ceil(value)}")
    return kind(mdp, value)


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
        tens, ones = divmod(int(match[0]), 10)
        if tens < 2:
            return _ONES[10 * tens + ones]
        return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")

    return _SMALL.sub(word, _OPERATION.sub(lambda match: _OPERATIONS[match[1]], question))
