"""Problems that are made on demand, no question twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, overload

from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.tasks import in_test

Candidate = tuple[str, Callable[[str], Problem]]  # a question, and what makes a problem of it under an id

COUNTED = 100_000  # draws that are cheap enough to be gone through when a task is made
PATIENCE = 10_000  # draws in a row without a new question, after which a source without end counts as used up


class TooFewQuestions(UserError):
    """A size above the number of questions, of which there are `count`."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


@dataclass(eq=False)
class Procedural(Sequence[Problem]):
    """Problem i is the i-th different question of its split in a stream of draws, made when it is first asked for.

    `draw(split, n)`, a pure function, is the n-th draw of a split: a candidate, or None where it failed. So problem i
    is a pure function of what `draw` is made of, and the first problems are the same for every size. Two questions are
    the same if their texts are: white space and case have a meaning in grids and ciphers, and a maker writes what has
    no order (such as the numbers of Countdown) in one order. A hash of the text decides the split, see `in_test`.

    `size` problems; with None as many as there are, up to `default`. `draws` says how many draws there are, where their
    number is known; otherwise `patience` draws without a new question end the stream. Raises `UserError` for a size
    below 1, and `TooFewQuestions` for one above the number of questions: at once if the draws are few enough to be gone
    through, otherwise when the first problem that does not exist is asked for.

    Threads may share one: they see the same problems.
    """

    name: str  # of the task, for messages
    prefix: str  # of the ids, which read as "chain/train/0/7": prefix, split, seed, number
    seed: int
    split: str
    draw: Callable[[str, int], Candidate | None]
    size: int | None
    default: int
    remedy: str  # how to get more questions, for messages
    draws: int | None = None
    patience: int = PATIENCE
    one_in: int = 10  # questions are in `test`
    _made: list[Problem] = field(default_factory=list, init=False, repr=False)
    _questions: set[str] = field(default_factory=set, init=False, repr=False)
    _drawn: int = field(default=0, init=False, repr=False)
    _fruitless: int = field(default=0, init=False, repr=False)  # draws since the last new question
    _making: Lock = field(default_factory=Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.size is None:
            return
        if self.size < 1:
            raise UserError(f"size is {self.size}; it must be at least 1")
        if self.draws is not None and self.draws <= min(COUNTED, 2 * self.one_in * self.size):
            self._reach(self.size)

    def __len__(self) -> int:
        if self.size is not None:
            return self.size
        self._reach(self.default)
        return len(self._made)

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Problem, ...]: ...
    def __getitem__(self, index: int | slice) -> Problem | tuple[Problem, ...]:
        most = self.default if self.size is None else self.size
        if isinstance(index, slice):
            if any(part is not None and part < 0 for part in (index.start, index.stop, index.step)):
                most = len(self)  # counted from the end
            chosen = range(most)[index]
            self._reach(max(chosen, default=-1) + 1)
            return tuple(self._made[i] for i in chosen if i < len(self._made))
        if index < 0:
            most = len(self)
        number = range(most)[index]
        self._reach(number + 1)
        return self._made[number]

    def examples(self, count: int) -> tuple[Problem, ...]:
        """The first `count` training problems of the same kind, for few-shot prompts."""
        return tuple(replace(self, split="train", size=None, default=count))

    def __getstate__(self) -> dict[str, Any]:
        """All but the lock, for pickling and copying: a copy goes on by itself."""
        with self._making:
            state = {**vars(self), "_made": list(self._made), "_questions": set(self._questions)}
        del state["_making"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _making=Lock())

    def _reach(self, count: int) -> None:
        """Makes the first `count` problems, or all where `size` is None and there are fewer."""
        with self._making:
            while len(self._made) < count and not self._ended:
                self._fruitless += 1
                candidate = self.draw(self.split, self._drawn)
                self._drawn += 1
                if candidate is not None:
                    self._add(*candidate)
            if self.size is not None and len(self._made) < count:
                raise self._too_few()

    def _add(self, question: str, make: Callable[[str], Problem]) -> None:
        held_out = self.split == "test"
        if question in self._questions or in_test(question, one_in=self.one_in) != held_out:
            return
        self._questions.add(question)
        self._made.append(make(f"{self.prefix}/{self.split}/{self.seed}/{len(self._made)}"))
        self._fruitless = 0

    @property
    def _ended(self) -> bool:
        if self.draws is not None:
            return self._drawn >= self.draws
        return self._fruitless >= self.patience

    def _too_few(self) -> TooFewQuestions:
        count, after, remedy = len(self._made), "", self.remedy
        if self.draws is None:
            after = f", after {self._drawn} draws"
        if count:
            remedy = f"set size to at most {count}, or {remedy}"
        message = (
            f"size is {self.size}, but with these settings {self.name} has {count} different questions in split "
            f"{self.split!r}{after}; {remedy}"
        )
        return TooFewQuestions(message, count)
