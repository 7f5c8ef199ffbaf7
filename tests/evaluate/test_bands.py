from __future__ import annotations

import numpy as np
import pytest

from reasonenv.errors import UserError
from reasonenv.evaluate import bands
from reasonenv.evaluate.bands import band

SIMULATIONS = 1_000


def passes(rng: np.random.Generator, ks: np.ndarray, shape: tuple[float, float]) -> np.ndarray:
    """pass@k = 1 - (1 - p)^k of problems whose p is beta distributed.  # [N, K]"""
    return 1 - (1 - rng.beta(*shape, (120, 1))) ** ks


def test_a_band_holds_the_whole_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "RESAMPLES", 400)
    ks = np.array([1, 2, 4, 8, 16])
    a, b = 0.6, 1.4
    failing = np.array([np.prod([(b + i) / (a + b + i) for i in range(k)]) for k in ks])  # E[(1 - p)^k]
    rng = np.random.default_rng(0)
    inside = 0
    for run in range(SIMULATIONS):
        found = band(passes(rng, ks, (a, b)), seed=run)
        inside += bool(((found.low <= 1 - failing) & (1 - failing <= found.high)).all())
    assert 0.93 <= inside / SIMULATIONS <= 0.975


def test_a_band_needs_two_curves() -> None:
    with pytest.raises(UserError, match="at least two problems"):
        band([[0.5, 0.6]])


def test_problems_that_all_agree_leave_room_for_others() -> None:
    # 50 problems that are all solved do not say that all others are: the rule of three leaves about 3 / 50
    solved = band(np.ones((50, 3)))
    assert (solved.value == 1).all()
    assert 1 - solved.low == pytest.approx(np.full(3, 3 / 50), rel=0.5)
    unsolved = band(np.zeros((50, 3)))
    assert unsolved.high == pytest.approx(1 - solved.low)
