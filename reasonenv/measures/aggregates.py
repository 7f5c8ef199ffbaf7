"""One number for an agent over several settings, with its interval over training seeds (arXiv 2108.13264).

One seed says nothing of others: then there is no interval, and its ends are nan.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import mannwhitneyu, trim_mean

from reasonenv.errors import UserError
from reasonenv.seeding import generator
from reasonenv.stats import LEVEL, Estimate, Floats

RESAMPLES = 2_000


def interquartile_mean(scores: npt.ArrayLike) -> Estimate:
    """The mean of the middle half of all runs (Agarwal et al. 2021).  # [seeds, settings]"""
    runs = np.asarray(scores, dtype=np.float64)
    return _with_interval(runs, lambda drawn: float(trim_mean(drawn, 0.25, axis=None)))


def improvement(a: npt.ArrayLike, b: npt.ArrayLike) -> Estimate:
    """Chance that a run of `a` beats a run of `b`, ties half, mean over settings.

    `a` [S, settings] and `b` [S', settings] hold one score a run. The interval is over the runs of `a`. Raises
    `UserError` for another number of settings.
    """
    first, second = np.atleast_2d(np.asarray(a, dtype=np.float64)), np.atleast_2d(np.asarray(b, dtype=np.float64))
    if first.shape[1] != second.shape[1]:
        raise UserError(f"runs of {first.shape[1]} and {second.shape[1]} settings cannot be compared; give the same")

    def chance(drawn: Floats) -> float:
        statistic = mannwhitneyu(drawn, second, axis=0, method="asymptotic").statistic
        return float(np.mean(statistic) / (len(drawn) * len(second)))

    return _with_interval(first, chance)


def _with_interval(runs: Floats, statistic: Callable[[Floats], float]) -> Estimate:
    """A stratified bootstrap: the runs of every setting are resampled on their own, and percentiles taken."""
    seeds, settings = runs.shape
    if seeds < 2:
        return Estimate(statistic(runs), np.nan, np.nan, seeds)
    rng = generator("aggregate", seeds, settings)
    values = []
    for _ in range(RESAMPLES):
        rows = rng.integers(seeds, size=(seeds, settings))
        values.append(statistic(np.take_along_axis(runs, rows, axis=0)))
    low, high = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(statistic(runs), float(low), float(high), seeds)
