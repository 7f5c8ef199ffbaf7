from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reasonenv import stats
from reasonenv.errors import UserError
from reasonenv.measures.comparisons import contrasts
from reasonenv.stats import Estimate, mean_interval

SIMULATIONS = 1_000


def difference(a: Any, b: Any) -> Estimate:
    """Of two policies on the same questions, [N] or [seeds, N]: a - b."""
    rows = {}
    for name, scores in (("a", a), ("b", b)):
        grid = np.atleast_2d(np.asarray(scores, dtype=float))
        rows[name] = {seed: {str(i): float(x) for i, x in enumerate(line)} for seed, line in enumerate(grid)}
    return contrasts(rows, [("a", "b")], fixed=rows)[0].estimate


def coverage(
    monkeypatch: pytest.MonkeyPatch, estimate: Callable[[np.random.Generator, int], Estimate], truth: float
) -> float:
    """Share of simulated data sets whose interval holds the truth; its own standard error is 0.7 %."""
    monkeypatch.setattr(stats, "RESAMPLES", 1_000)
    rng = np.random.default_rng(1)
    found = [estimate(rng, run) for run in range(SIMULATIONS)]
    return sum(e.low <= truth <= e.high for e in found) / SIMULATIONS


def accuracy(rng: np.random.Generator, run: int) -> Estimate:
    return mean_interval(rng.random(150) < 0.7, seed=run)


def average_of_sixteen(rng: np.random.Generator, run: int) -> Estimate:
    return mean_interval(rng.binomial(16, rng.beta(0.6, 1.4, 150)) / 16, seed=run)  # E[beta] = 0.6 / 2 = 0.3


def gain(seeds: int) -> Callable[[np.random.Generator, int], Estimate]:
    """Every problem has its own difficulty, shared by both policies, and the second is 0.1 better on each."""

    def draw(rng: np.random.Generator, run: int) -> Estimate:
        p = rng.beta(0.6, 0.6, 150) * 0.9
        return difference(rng.random((seeds, 150)) < p + 0.1, rng.random((seeds, 150)) < p)

    return draw


def rare_change(rng: np.random.Generator, run: int) -> Estimate:
    before = rng.random(200) < 0.5
    return difference(before | (rng.random(200) < 0.03), before)  # 0.5 * 0.03 = 0.015


@pytest.mark.parametrize(
    ("estimate", "truth"),
    [(accuracy, 0.7), (average_of_sixteen, 0.3), (gain(1), 0.1), (gain(2), 0.1), (rare_change, 0.015)],
    ids=["accuracy", "avg@16", "gain, one seed", "gain, two seeds", "three problems of 200 change"],
)
def test_intervals_hold_the_truth_95_times_in_100(monkeypatch: pytest.MonkeyPatch, estimate: Any, truth: float) -> None:
    assert 0.93 <= coverage(monkeypatch, estimate, truth) <= 0.97


def test_wilson_gold() -> None:
    # z = 1.95996, n = 10, p = 0: high = z^2 / (n + z^2) = 3.84146 / 13.84146 = 0.277533.
    none = mean_interval([0] * 10)
    assert (none.value, none.low, none.high) == pytest.approx((0, 0, 0.277533), abs=1e-6)
    # p = 1/2: centre 1/2, half width z / sqrt(4 (n + z^2)) = 1.959964 * 0.1343937 = 0.263407.
    half = mean_interval([0, 1] * 5)
    assert (half.low, half.high) == pytest.approx((0.236593, 0.763407), abs=1e-6)


def test_equal_values_are_not_certainty() -> None:
    # All ten problems at 0.5: up to 27.7533 % of the others may differ, by at most 0.5, so 0.5 -+ 0.138766.
    e = mean_interval([0.5] * 10)
    assert (e.low, e.high) == pytest.approx((0.361234, 0.638766), abs=1e-6)
    same = difference([1, 0, 1, 0], [1, 0, 1, 0])
    assert same.value == 0
    assert same.low < 0 < same.high


def test_five_of_five_changed_problems_do_not_decide_and_eight_do() -> None:
    # Exact sign test, two-sided: 5 of 5 has p = 2 / 32 = 0.0625, 8 of 8 has p = 2 / 256 = 0.0078.
    before = np.zeros(200)
    for changed, decided in ((5, False), (8, True)):
        after = before.copy()
        after[:changed] = 1
        e = difference(after, before)
        assert (e.low > 0 or e.high < 0) is decided


def test_pairing_narrows_the_interval() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(200) < 0.5
    after = before | (rng.random(200) < 0.2)
    paired, apart = difference(after, before), difference(after, rng.permutation(before))
    assert paired.value == pytest.approx(apart.value)
    assert paired.high - paired.low < 0.6 * (apart.high - apart.low)


def test_a_difference_turns_its_sign_with_its_arguments() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 50)), rng.random((3, 50))
    forth, back = difference(a, b), difference(b, a)
    assert forth.value == pytest.approx(-back.value)
    assert forth.low == pytest.approx(-back.high, abs=0.01)


def test_seeds_are_averaged_within_problems() -> None:
    a, b = np.array([[1, 0, 1], [1, 1, 0]]), np.array([[0, 0, 1], [0, 1, 0]])
    assert difference(a, b) == difference([1.0, 0.5, 0.5], [0.0, 0.5, 0.5])


def test_the_same_seed_gives_the_same_interval() -> None:
    x = np.random.default_rng(3).random(40)
    assert mean_interval(x, seed=5) == mean_interval(x, seed=5)
    assert mean_interval(x, seed=5) != mean_interval(x, seed=6)


@pytest.mark.parametrize("values", [[], [0.2, float("nan")], [0.2, 1.2], [[0.1], [0.2]]])
def test_values_without_an_interval_are_refused(values: Any) -> None:
    with pytest.raises(UserError, match=r"at least one value|outside"):
        mean_interval(values)
