"""Intervals around means over problems, honest at the edges where a naive bootstrap claims certainty.

Answers to one problem are not independent, so the problem is the unit (Miller 2024, arXiv 2411.00640): samples and
seeds are averaged within it and problems are resampled. What other training seeds would add is in `comparisons`.

A bootstrap of N equal values has width 0, and one of two odd values among N is little better. So 0/1 data take Wilson's
interval, and N equal values its generalisation to a bounded range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from reasonenv.accuracy import LEVEL, wilson
from reasonenv.errors import UserError
from reasonenv.seeding import generator

Floats = npt.NDArray[np.float64]

RESAMPLES = 5_000
BLOCK = 2_000_000  # resampled entries held in memory at once


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
    rng = generator("bootstrap", seed, n)
    rows = max(1, BLOCK // n)
    blocks = [min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows)]
    means = np.concatenate([x[rng.integers(n, size=(block, n))].mean(axis=1) for block in blocks])  # [RESAMPLES]
    tail = float(ndtr(-np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 + LEVEL) / 2)))
    left, right = np.quantile(means, (tail, 1 - tail))
    return float(left), float(right)
