from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from reasonenv.errors import UserError
from reasonenv.evaluate import comparisons
from reasonenv.evaluate.comparisons import band, holm, improvement, interquartile_mean, spread

SIMULATIONS = 1_000
Draw = Callable[[np.random.Generator], np.ndarray]


def crossed(truth: float, seeds: int, problems: int, by_seed: float, by_problem: float) -> Draw:
    """Differences whose mean over all seeds and problems is `truth`, with both kinds of spread."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        shape = (seeds, problems)
        own = rng.normal(0, by_seed, (seeds, 1)) + rng.normal(0, by_problem, (1, problems))
        return np.clip(truth + own + rng.normal(0, 0.1, shape), -1, 1)

    return draw


def share(draw: Draw, event: Callable[[np.ndarray], bool]) -> float:
    rng = np.random.default_rng(0)
    return sum(event(draw(rng)) for _ in range(SIMULATIONS)) / SIMULATIONS


@pytest.mark.parametrize(
    ("seeds", "by_seed"), [(2, 0.03), (3, 0.0), (3, 0.03), (3, 0.1), (5, 0.0), (5, 0.03), (5, 0.1)]
)
def test_interval_over_seeds_and_problems_holds_the_truth(seeds: int, by_seed: float) -> None:
    def held(d: np.ndarray) -> bool:
        e = spread(d).interval
        return e.low <= 0.05 <= e.high

    assert 0.93 <= share(crossed(0.05, seeds, 400, by_seed, 0.2), held) <= 0.97


def test_problems_alone_would_miss_what_another_seed_does() -> None:
    # Two seeds per problem averaged away: the interval over problems holds the truth far too seldom.
    def held(d: np.ndarray) -> bool:
        e = spread(d.mean(axis=0)).interval
        return e.low <= 0.05 <= e.high

    assert share(crossed(0.05, 3, 100, 0.1, 0.2), held) < 0.6


def test_no_difference_is_found_five_times_in_a_hundred() -> None:
    assert 0.03 <= share(crossed(0.0, 4, 100, 0.05, 0.2), lambda d: spread(d).p_value < 0.05) <= 0.07


def test_agents_at_the_margin_are_called_equivalent_five_times_in_a_hundred() -> None:
    at_margin, within = crossed(0.1, 4, 200, 0.02, 0.2), crossed(0.0, 4, 200, 0.02, 0.2)
    assert share(at_margin, lambda d: spread(d).equivalence_p(0.1) < 0.05) <= 0.065
    assert share(within, lambda d: spread(d).equivalence_p(0.1) < 0.05) > 0.9


def test_a_detectable_difference_is_detected_four_times_in_five() -> None:
    rng = np.random.default_rng(1)
    effect = float(np.mean([spread(crossed(0.0, 1, 200, 0.0, 0.2)(rng)).detectable for _ in range(100)]))
    assert 0.75 <= share(crossed(effect, 1, 200, 0.0, 0.2), lambda d: spread(d).p_value < 0.05) <= 0.85


def test_analysis_of_variance_gold() -> None:
    # x = [[.1, .3], [.2, .4]] and the pseudo-problems at +-0.35 (the larger column mean): the columns have means
    # .15, .35, .35, -.35, the rows .1 and .15, the whole .125.
    # MS_seed = 4 (.025^2 + .025^2) / 1 = .005;  MS_problem = 2 (.025^2 + .225^2 + .225^2 + .475^2) / 3 = .218333;
    # residuals: +-.025 in the first two columns of each row, -+.025 in the others: 8 * .000625 / 3 = .005 / 3.
    s = spread([[0.1, 0.3], [0.2, 0.4]])
    assert s.value == pytest.approx(0.25)
    assert s.by_problem == pytest.approx(0.218333 / 8, rel=1e-5)
    assert s.by_seed == pytest.approx((0.005 - 0.005 / 3) / 8, rel=1e-5)


def test_one_seed_is_students_test_over_problems() -> None:
    d = np.array([0.0, 0.5, 1.0, -0.5])
    expected = ttest_1samp([*d, 1.0, -1.0], 0.0)  # the pseudo-problems; their mean is that of d times 4/6
    s = spread(d)
    assert s.by_problem == pytest.approx(np.var([*d, 1.0, -1.0], ddof=1) / 6)
    at_sample = replace(s, value=s.value * 4 / 6)
    assert at_sample.p_value == pytest.approx(expected.pvalue)
    assert spread(d[None]) == s


def test_interval_p_value_and_equivalence_are_one_test() -> None:
    s = spread(crossed(0.05, 3, 60, 0.05, 0.2)(np.random.default_rng(0)))
    edge = replace(s, value=s.interval.high - s.value)  # an interval that ends at 0
    assert edge.interval.low == pytest.approx(0, abs=1e-9)
    assert edge.p_value == pytest.approx(0.05)
    half90 = edge._half(0.05)
    assert replace(s, value=0.0).equivalence_p(half90) == pytest.approx(0.05)
    assert replace(s, value=0.3).equivalence_p(0.3) == 0.5


def test_holm_gold() -> None:
    # Sorted .01 .03 .04: times 3, 2, 1 gives .03 .06 .04, and no later one may be smaller: .03 .06 .06.
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_interquartile_mean_leaves_out_a_quarter_at_each_end() -> None:
    assert interquartile_mean([[0, 1, 2, 3], [4, 5, 6, 100]]) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_probability_of_improvement_counts_pairs() -> None:
    # First setting: of (1, 3) against (2, 2) half win. Second: all tie.
    assert improvement([[1, 5], [3, 5]], [[2, 5], [2, 5]]) == pytest.approx(0.5)
    assert improvement([[1], [3]], [[0], [1]]) == pytest.approx((0.5 + 1 + 1 + 1) / 4)
    with pytest.raises(UserError, match="1 and 2 settings"):
        improvement([[1]], [[1, 2]])


def passes(rng: np.random.Generator, ks: np.ndarray, shape: tuple[float, float]) -> np.ndarray:
    """pass@k = 1 - (1 - p)^k of problems whose p is beta distributed.  # [N, K]"""
    return 1 - (1 - rng.beta(*shape, (120, 1))) ** ks


def test_a_band_holds_the_whole_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "RESAMPLES", 400)
    ks = np.array([1, 2, 4, 8, 16])
    a, b = 0.6, 1.4
    failing = np.array([np.prod([(b + i) / (a + b + i) for i in range(k)]) for k in ks])  # E[(1 - p)^k]
    rng = np.random.default_rng(0)
    inside = 0
    for run in range(SIMULATIONS):
        found = band(passes(rng, ks, (a, b)), seed=run)
        inside += bool(((found.low <= 1 - failing) & (1 - failing <= found.high)).all())
    assert 0.93 <= inside / SIMULATIONS <= 0.975


def test_curves_that_cross_are_seen_to_cross_and_parallel_ones_not() -> None:
    rng, ks = np.random.default_rng(0), np.array([1, 2, 4, 8, 16, 32])
    sharp, broad = (rng.random((400, 1)) < 0.5) * np.ones(6), 1 - (1 - np.full((400, 1), 0.25)) ** ks
    assert band(sharp - broad).crosses  # 0.5 against 0.25 at k = 1, 0.5 against 1 at k = 32
    assert not band(sharp - sharp * 0.8).crosses


def test_a_p_value_of_many_problems_is_the_normal_one() -> None:
    d = np.random.default_rng(2).normal(0.01, 0.1, 5000)
    z = d.mean() / (d.std(ddof=1) / 5000**0.5)
    assert spread(d).p_value == pytest.approx(2 * NormalDist().cdf(-abs(z)), rel=0.05)


@pytest.mark.parametrize("bad", [[], [1.5], [float("nan")], [[[0.1]]]])
def test_what_is_no_difference_is_refused(bad: object) -> None:
    with pytest.raises(UserError, match="differences must be"):
        spread(bad)  # type: ignore[arg-type]


def test_a_margin_is_a_share() -> None:
    with pytest.raises(UserError, match="margin is 2"):
        spread([0.0, 0.1]).equivalence_p(2)
