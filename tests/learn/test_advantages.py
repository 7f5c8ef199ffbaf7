"""Advantages: the worked example, and what every estimator must leave at exactly 0."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from reasonenv.learn.advantages import zscore

ESTIMATORS = {
    "zscore": lambda r, g: zscore(r, g, ddof=1, eps=1e-6),
}  # fmt: skip
GRADED = sorted(ESTIMATORS)


def close(found: Tensor, expected: list[float]) -> bool:
    """To six decimals."""
    return torch.allclose(found.double(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=6e-7)


@pytest.mark.parametrize(
    ("ddof", "eps", "half", "up", "down"),
    [
        # half right: std = sqrt(4 * 0.25 / 3) = 0.577350; one right: sqrt((0.5625 + 3 * 0.0625) / 3) = 0.5
        (1, 1e-6, 0.866024, 1.499997, -0.499999),
        (1, 1e-4, 0.865875, 1.499700, -0.499900),
        # with n instead of n - 1: 0.5 and sqrt(0.1875) = 0.433013
        (0, 0.0, 1.0, 1.732051, -0.577350),
    ],
)
def test_zscore_of_the_worked_example(example, ddof: int, eps: float, half: float, up: float, down: float) -> None:
    found = zscore(example.rewards, example.group, ddof=ddof, eps=eps)
    assert close(found, [half, -half, -half, half, up, down, down, down])


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("reward", [0.0, 1.0])
@pytest.mark.parametrize("size", [1, 2, 8, 16])
def test_equal_rewards_and_single_samples_teach_exactly_nothing(name: str, reward: float, size: int) -> None:
    assert ESTIMATORS[name](torch.full((size,), reward), torch.zeros(size)).tolist() == [0.0] * size


@pytest.mark.parametrize("name", GRADED)
@pytest.mark.parametrize("reward", [0.7, 0.9, -1 / 3, 1e-3])
def test_equal_float32_rewards_that_do_not_cancel_teach_exactly_nothing(name: str, reward: float) -> None:
    # eight float32 0.7 have a std of some 1e-8, which an eps of 1e-6 would turn into advantages of some percent
    assert ESTIMATORS[name](torch.full((8,), reward), torch.zeros(8)).tolist() == [0.0] * 8


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 1.0])), min_size=1, max_size=20), st.randoms())
def test_an_advantage_depends_on_its_group_alone_and_on_no_order(rows: list[tuple[int, float]], random) -> None:
    group, rewards = torch.tensor([g for g, _ in rows]), torch.tensor([r for _, r in rows])
    order = random.sample(range(len(rows)), len(rows))
    for name, estimate in ESTIMATORS.items():
        whole = estimate(rewards, group)
        assert torch.allclose(estimate(rewards[order], group[order]), whole[order], atol=1e-6), name
        for label in set(group.tolist()):
            own = group == label
            assert torch.allclose(estimate(rewards[own], group[own]), whole[own], atol=1e-6), name


@given(st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=8), st.floats(-3, 3), st.floats(0.5, 4))
def test_zscore_ignores_shift_and_scale(rewards: list[float], shift: float, scale: float) -> None:
    r, group = torch.tensor(rewards, dtype=torch.float64), torch.zeros(len(rewards))
    if 0 < r.max() - r.min() < 1e-2:
        return  # near the line below which rewards count as equal
    moved = zscore(scale * r + shift, group, ddof=1, eps=0.0)
    assert torch.allclose(moved, zscore(r, group, ddof=1, eps=0.0), atol=1e-5)
