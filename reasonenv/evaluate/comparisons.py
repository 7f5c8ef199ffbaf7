"""What may be said about a difference between two agents, and about many such differences at once.

`d` are paired differences of scores in [-1, 1]: [N] over problems, or [S, N] over seeds and problems. A `Spread` speaks
about other problems *and* other training seeds, where `stats.paired_difference` keeps the trained policies as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtri, stdtrit
from scipy.stats import mannwhitneyu, trim_mean

from reasonenv.errors import UserError
from reasonenv.evaluate.stats import BLOCK, LEVEL, RESAMPLES, Estimate, Floats
from reasonenv.seeding import generator

POWER = 0.8


@dataclass(frozen=True)
class Spread:
    """A mean difference and its variance: what other problems and what other seeds would add to it.

    Each part has Student's quantile of its own degrees of freedom, and a half width is the mean of the two, weighted by
    their variances, times the standard error (Cochran and Cox 1957). In simulation its 95 % intervals hold the truth 93
    to 97 times in 100; two seeds are too few, for this and for any form (97 where they do not differ, 92 where much).
    Satterthwaite's joint degrees of freedom fall to 91 with three seeds that differ much.
    """

    value: float
    by_problem: float  # variance of the mean
    by_seed: float  # the same; 0 where seeds count as fixed
    problems: int
    seeds: int

    @property
    def interval(self) -> Estimate:
        """The 95 % interval."""
        half = self._half((1 - LEVEL) / 2)
        return Estimate(self.value, max(self.value - half, -1.0), min(self.value + half, 1.0), self.problems)

    @property
    def p_value(self) -> float:
        """Two-sided, of the hypothesis that there is no difference."""
        return 2 * self._tail(abs(self.value))

    def equivalence_p(self, margin: float) -> float:
        """Of the hypothesis that the difference is at least `margin` in size: two one-sided tests (Schuirmann 1987).

        Below 0.05 the agents are equivalent within the margin: their 90 % interval lies inside it.
        """
        if not 0 < margin <= 1:
            raise UserError(f"margin is {margin}; it must be above 0 and at most 1 (0.02 is two points)")
        return self._tail(margin - abs(self.value))

    @property
    def detectable(self) -> float:
        """The true difference that a two-sided test at 5 % would find in `POWER` of such experiments."""
        return self._half((1 - LEVEL) / 2) + float(ndtri(POWER)) * math.sqrt(self.by_problem + self.by_seed)

    def _half(self, tail: float) -> float:
        """What the mean exceeds by chance with probability `tail`."""
        seed = stdtrit(self.seeds - 1, 1 - tail) * self.by_seed if self.by_seed else 0.0
        problem = stdtrit(self.problems + 1, 1 - tail) * self.by_problem
        return float(seed + problem) / math.sqrt(self.by_seed + self.by_problem)

    def _tail(self, distance: float) -> float:
        """The inverse of `_half`; of a negative distance 1 - that of its size."""
        if distance < 0:
            return 1 - self._tail(-distance)
        least = 1e-12
        if distance >= self._half(least):
            return least
        return float(brentq(lambda tail: self._half(tail) - distance, least, 0.5)) if distance else 0.5


def spread(d: npt.ArrayLike) -> Spread:
    """The mean of `d` over crossed random problems and seeds: two-way analysis of variance without replication.

        V_problem = MS_problem / (S N),    V_seed = max(0, MS_seed - MS_rest) / (S N)

    With one seed, [N] or [1, N], seeds count as fixed. Two pseudo-problems at plus and minus the largest difference
    enter the variance and not the value, as in `stats.paired_difference`.
    """
    x = np.atleast_2d(np.asarray(d, dtype=np.float64))  # [S, N]
    if x.ndim != 2 or x.shape[1] == 0 or not (np.abs(x) <= 1 + 1e-9).all():
        raise UserError(f"differences must be [N] or [seeds, N] numbers in [-1, 1]; got shape {x.shape}")
    reach = float(np.abs(x.mean(axis=0)).max()) or 1.0
    padded = np.concatenate([x, np.full((len(x), 1), reach), np.full((len(x), 1), -reach)], axis=1)
    seeds, n = padded.shape
    mean, rows, columns = padded.mean(), padded.mean(axis=1), padded.mean(axis=0)
    problem = seeds * np.square(columns - mean).sum() / (n - 1)
    seed = 0.0
    if seeds > 1:
        rest = np.square(padded - rows[:, None] - columns + mean).sum() / ((seeds - 1) * (n - 1))
        seed = max(0.0, n * np.square(rows - mean).sum() / (seeds - 1) - rest)
    return Spread(float(x.mean()), float(problem / (seeds * n)), float(seed / (seeds * n)), x.shape[1], seeds)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979): below alpha, a hypothesis is rejected with family-wise error at most alpha."""
    order = np.argsort(p_values)
    scaled = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(p) for p in adjusted]


def interquartile_mean(scores: npt.ArrayLike) -> float:
    """The mean of the middle half of all cells (Agarwal et al. 2021, arXiv 2108.13264).  # [seeds, settings]"""
    return float(trim_mean(np.asarray(scores, dtype=np.float64), 0.25, axis=None))


def improvement(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Chance that a run of `a` beats a run of `b`, ties half, mean over settings (arXiv 2108.13264).

    `a` [S, settings] and `b` [S', settings] hold one score a run.
    """
    first, second = (np.atleast_2d(np.asarray(runs, dtype=np.float64)) for runs in (a, b))
    if first.shape[1] != second.shape[1]:
        raise UserError(f"runs of {first.shape[1]} and {second.shape[1]} settings cannot be compared; give the same")
    wins = mannwhitneyu(first, second, axis=0, method="asymptotic").statistic
    return float(np.mean(wins) / (len(first) * len(second)))


@dataclass(frozen=True)
class Band:
    """A curve over k with a region that holds the whole true curve 95 times in 100."""

    value: Floats  # [K]
    low: Floats  # [K]
    high: Floats  # [K]

    @property
    def crosses(self) -> bool:
        """Whether the curve is above 0 at some k and below 0 at another, beyond doubt."""
        return bool((self.low > 0).any() and (self.high < 0).any())


def band(curves: npt.ArrayLike, *, seed: int = 0) -> Band:
    """Simultaneous band of the mean of `curves` [N, K], one a problem: the sup-t bootstrap.

    The half width at k is c s_k / sqrt(N), with c the quantile of max_k |t_k| over resampled problems. Of pass@k it is
    a band of the curve; of a difference of pass@k, `Band.crosses` is a test of crossing.
    """
    x = np.asarray(curves, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise UserError(f"a band needs finite curves of at least two problems, [N, K]; got shape {x.shape}")
    n, k = x.shape
    mean = x.mean(axis=0)
    reach = np.abs(x - mean).max(axis=0)
    padded = np.concatenate([x, [mean + reach], [mean - reach]])  # a k at which all agree is not certain
    error = padded.std(axis=0, ddof=1) / np.sqrt(n + 2)
    rng, most = generator("band", seed, n, k), np.empty(RESAMPLES)
    rows = max(1, BLOCK // (padded.size))
    for start in range(0, RESAMPLES, rows):
        drawn = padded[rng.integers(n + 2, size=(min(rows, RESAMPLES - start), n + 2))]  # [rows, N, K]
        own = drawn.std(axis=1, ddof=1) / np.sqrt(n + 2)
        t = np.abs(drawn.mean(axis=1) - mean) / np.where(own > 0, own, np.inf)
        most[start : start + len(drawn)] = t.max(axis=1)
    half = float(np.quantile(most, LEVEL)) * error
    return Band(mean, mean - half, mean + half)
