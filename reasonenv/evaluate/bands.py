"""Curves over k with a region that holds the whole curve, for drawing. Claims about a curve rest on contrasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reasonenv.accuracy import LEVEL
from reasonenv.errors import UserError
from reasonenv.evaluate.stats import BLOCK, RESAMPLES, Floats
from reasonenv.seeding import generator


@dataclass(frozen=True)
class Band:
    """A curve over k with a region that holds the whole true curve 95 times in 100."""

    value: Floats  # [K]
    low: Floats  # [K]
    high: Floats  # [K]


def band(curves: npt.ArrayLike, *, seed: int = 0) -> Band:
    """Simultaneous band of the mean of `curves` [N, K] of values from 0 to 1, one a problem: the sup-t bootstrap.

    The half width at k is c s_k / sqrt(N), with c the quantile of max_k |t_k| over resampled problems. Two
    pseudo-curves are added, as far from the mean as any curve, or where all agree as values can be: that others would
    agree too is not certain.
    """
    x = np.asarray(curves, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise UserError(f"a band needs finite curves of at least two problems, [N, K]; got shape {x.shape}")
    n, k = x.shape
    mean = x.mean(axis=0)
    reach = np.where(np.ptp(x, axis=0) > 0, np.abs(x - mean).max(axis=0), 1.0)
    padded = np.concatenate([x, [mean + reach], [mean - reach]])
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
