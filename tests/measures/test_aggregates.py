from __future__ import annotations

import math

import numpy as np
import pytest

from reasonenv.errors import UserError
from reasonenv.measures.aggregates import improvement, interquartile_mean


def test_interquartile_mean_leaves_out_a_quarter_at_each_end() -> None:
    assert interquartile_mean([[0, 1, 2, 3], [4, 5, 6, 100]]).value == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_probability_of_improvement_counts_pairs() -> None:
    # First setting: of (1, 3) against (2, 2) half win. Second: all tie.
    assert improvement([[1, 5], [3, 5]], [[2, 5], [2, 5]]).value == pytest.approx(0.5)
    assert improvement([[1], [3]], [[0], [1]]).value == pytest.approx((0.5 + 1 + 1 + 1) / 4)
    with pytest.raises(UserError, match="1 and 2 settings"):
        improvement([[1]], [[1, 2]])


def test_the_interval_of_the_interquartile_mean_holds_the_truth() -> None:
    # 20 runs in each of two settings, normal around 0.3 and 0.7 with sd 0.05. Half of all runs lie in each setting, so
    # the middle half are the upper half of the first and the lower half of the second: 0.5 by symmetry. The percentile
    # bootstrap is known to be somewhat short with few runs (93 in 100 at best).
    rng, inside = np.random.default_rng(0), 0
    for _ in range(100):
        runs = rng.normal((0.3, 0.7), 0.05, (20, 2))
        estimate = interquartile_mean(runs)
        inside += estimate.low <= 0.5 <= estimate.high
    assert 0.86 <= inside / 100 <= 1.0


def test_one_seed_has_no_interval() -> None:
    # the middle half of 0.5, 0.6, 0.7 weighs the ends equally; of two settings both are higher than the other's
    for estimate, value in (
        (interquartile_mean([[0.5, 0.6, 0.7]]), 0.6),
        (improvement([[0.5, 0.6]], [[0.4, 0.5], [0.3, 0.5]]), 1.0),
    ):
        assert estimate.value == pytest.approx(value)
        assert math.isnan(estimate.low)
        assert math.isnan(estimate.high)
