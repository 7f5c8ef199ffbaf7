"""The one meaning of accuracy: right answers over judged ones, with Wilson's interval.

A verdict that is a failure of ours (`core.FAILURES`: a time-out, a verifier that broke) says nothing about the answer,
so that answer leaves the numerator and the denominator, wherever an accuracy is formed: in training, along the way, at
the end and in every table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import sqrt
from operator import attrgetter
from statistics import NormalDist
from typing import Protocol, TypeVar

from reasonenv.core import FAILURES
from reasonenv.errors import UserError

LEVEL = 0.95
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


class Judged(Protocol):
    """What has a verdict: a `Verdict` itself, or a stored sample."""

    @property
    def correct(self) -> bool: ...

    @property
    def reason(self) -> str: ...


Answer = TypeVar("Answer", bound=Judged)


@dataclass(frozen=True)
class Accuracy:
    """How many of `total` answers could be `judged`, and how many of these are `right`."""

    right: int
    judged: int
    total: int

    @property
    def value(self) -> float:
        """The share of right answers among the judged ones. Raises `UserError` if none was judged."""
        if not self.judged:
            raise UserError(
                f"none of {self.total} answers could be judged, so there is no accuracy; "
                "look at the reasons of their verdicts (timeout, error, unparsable_gold) and mend the verifier"
            )
        return self.right / self.judged

    @property
    def unjudged(self) -> float:
        """The share of all answers that could not be judged; 0 of none."""
        return (self.total - self.judged) / max(self.total, 1)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval; all of [0, 1] if none was judged."""
        return wilson(self.value, self.judged) if self.judged else wilson(0.0, 0)


def accuracy(answers: Iterable[Answer], hit: Callable[[Answer], bool] = attrgetter("correct")) -> Accuracy:
    """The accuracy of answers; `hit` says what counts as right, if not the verdict itself."""
    every = list(answers)
    hits = [hit(answer) for answer in every if answer.reason not in FAILURES]
    return Accuracy(sum(hits), len(hits), len(every))


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a proportion, Wilson 1927: every p0 that a score test with `n` trials does not reject.

    `share` need not be a multiple of 1/n. A share of exactly 0 or 1 has itself as one end. No trials: [0, 1].
    """
    if n == 0:
        return 0.0, 1.0
    centre = (share + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z / (1 + _Z * _Z / n) * sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)
