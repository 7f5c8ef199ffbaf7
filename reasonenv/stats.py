"""Accuracy and intervals: the one place that says what an accuracy is and how sure it is.

Accuracy is right answers over judged ones. A verdict that compares nothing (`core.FAILURES`: a time-out, a gold that
cannot be read, a verifier that broke) says nothing about the answer, so that answer leaves the numerator and the
denominator, wherever an accuracy is formed: in training, along the way, at the end and in every table.

Answers to one problem are not independent, so the problem is the unit of a mean (Miller 2024, arXiv 2411.00640):
samples and seeds are averaged within it and problems are resampled. What other training seeds would add is in
`measures/comparisons.py`. A bootstrap of N equal values has width 0, and one of two odd values among N is little
better, so 0/1 data take Wilson's interval, and N equal values its generalisation to a bounded range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from statistics import NormalDist
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from reasonenv.core import FAILURES, HARD_TO_VERIFY, IntArray
from reasonenv.errors import UserError
from reasonenv.seeding import generator

Floats = npt.NDArray[np.float64]

RESAMPLES = 5_000
BLOCK = 50_000  # resampled entries at once: so few stay in the cache of a processor
REMEMBERED = 2_000  # values of which resampled places are remembered, 80 MB at most
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
    """How many of `total` answers could be `judged`, and how many of these are `right`.

    Of those that could not, `hard` are of problems that are hard to verify; on the others the verifier broke.
    """

    right: int
    judged: int
    total: int
    hard: int = 0

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
    def unjudged(self) -> dict[str, float]:
        """The shares of all answers that could not be judged, by whose failure it is; 0 of none."""
        total = max(self.total, 1)
        return {
            "verifier_errors": (self.total - self.judged - self.hard) / total,
            "hard_to_verify": self.hard / total,
        }

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval; all of [0, 1] if none was judged."""
        return wilson(self.value, self.judged) if self.judged else wilson(0.0, 0)


def accuracy(answers: Iterable[Answer], hit: Callable[[Answer], bool] = lambda answer: answer.correct) -> Accuracy:
    """The accuracy of answers; `hit` says what counts as right, if not the verdict itself."""
    right = judged = total = hard = 0
    for answer in answers:
        total += 1
        if answer.reason not in FAILURES:
            judged += 1
            right += hit(answer)
        hard += answer.reason in HARD_TO_VERIFY
    return Accuracy(right, judged, total, hard)


def means(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each key over the rows that have it."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            values.setdefault(key, []).append(value)
    return {key: float(np.mean(column)) for key, column in values.items()}


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a proportion, Wilson 1927: every p0 that a score test with `n` trials does not reject.

    `share` need not be a multiple of 1/n. A share of exactly 0 or 1 has itself as one end. No trials: [0, 1].
    """
    if n == 0:
        return 0.0, 1.0
    centre = (share + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z / (1 + _Z * _Z / n) * sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
    low, high = centre - half, centre + half
    if share == 0:
        low = 0.0
    if share == 1:
        high = 1.0
    return low, high


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` problems with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


def mean_interval(values: npt.ArrayLike, *, low: float = 0.0, high: float = 1.0, seed: int = 0) -> Estimate:
    """Mean of `values` [N] that lie in [`low`, `high`]: Wilson for two-valued data at the ends, else a bootstrap.

    Raises `UserError` for no values, or for one that is not finite or out of range.
    """
    x = _checked(values, low, high)
    n, mean = len(x), float(x.mean())
    if np.isin(x, (low, high)).all():
        left, right = wilson((mean - low) / (high - low), n)
        return Estimate(mean, low + (high - low) * left, low + (high - low) * right, n)
    if np.ptp(x) == 0:
        # At most this share of all problems differs from the N equal ones seen; the rest may lie anywhere in the range.
        share = wilson(0.0, n)[1]
        return Estimate(mean, mean - share * (mean - low), mean + share * (high - mean), n)
    left, right = _bootstrap(x, seed)
    return Estimate(mean, left, right, n)


def _checked(values: npt.ArrayLike, low: float, high: float) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise UserError(f"an interval needs at least one value in one dimension; got shape {x.shape}")
    bad = ~((x >= low - 1e-9) & (x <= high + 1e-9))  # also true for nan
    if bad.any():
        raise UserError(f"value {x[bad][0]} of problem {int(bad.argmax())} is outside [{low:g}, {high:g}]")
    return x


def _bootstrap(x: Floats, seed: int) -> tuple[float, float]:
    """Percentile interval of the mean of `x` [N], expanded for small N as in Hesterberg 2014 (arXiv 1411.5279).

    The plain percentiles use the normal quantile and the biased variance; his tail is Phi(-sqrt(N / (N - 1)) t_{N-1}).
    """
    n = len(x)
    means = [x.take(rows).mean(axis=1) for rows in _resampled(seed, n)]
    tail = float(ndtr(-np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 + LEVEL) / 2)))
    left, right = np.quantile(np.concatenate(means), (tail, 1 - tail))
    return float(left), float(right)


def _resampled(seed: int, n: int) -> Iterable[IntArray]:
    """`RESAMPLES` rows of n places each, drawn with replacement, in blocks. Those of the last two n are remembered."""
    return _remembered(seed, n) if n <= REMEMBERED else _drawn(seed, n)


def _drawn(seed: int, n: int) -> Iterator[IntArray]:
    rng = generator("bootstrap", seed, n)
    size = max(1, BLOCK // n)
    for start in range(0, RESAMPLES, size):
        yield rng.integers(n, size=(min(size, RESAMPLES - start), n))


@lru_cache(maxsize=2)
def _remembered(seed: int, n: int) -> list[IntArray]:
    return list(_drawn(seed, n))
