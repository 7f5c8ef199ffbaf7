"""Advantages: the worked example, and what every estimator must leave at exactly 0."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reasonenv.errors import UserError
from reasonenv.learn.advantages import (
    batch_scaled,
    centered,
    gae,
    leave_one_out,
    maxrl,
    process_zscore,
    reward_to_go,
    tail,
    whiten,
    zscore,
)

ESTIMATORS = {
    "zscore": lambda r, g: zscore(r, g, ddof=1, eps=1e-6),
    "centered": centered,
    "leave_one_out": leave_one_out,
    "maxrl": maxrl,
    "tail": tail,
}
GRADED = sorted(ESTIMATORS.keys() - {"maxrl"})  # those that take any reward


def close(found: Tensor, expected: list[float] | list[list[float]]) -> bool:
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


@settings(deadline=None)  # a claim about numbers, not about time
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


@settings(deadline=None)  # a claim about numbers, not about time
@given(st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=8), st.floats(-3, 3), st.floats(0.5, 4))
def test_zscore_ignores_shift_and_scale(rewards: list[float], shift: float, scale: float) -> None:
    r, group = torch.tensor(rewards, dtype=torch.float64), torch.zeros(len(rewards))
    if 0 < r.max() - r.min() < 1e-2:
        return  # near the line below which rewards count as equal
    moved = zscore(scale * r + shift, group, ddof=1, eps=0.0)
    assert torch.allclose(moved, zscore(r, group, ddof=1, eps=0.0), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "half", "up", "down"),
    [
        ("centered", 0.5, 0.75, -0.25),
        ("leave_one_out", 0.666667, 1.0, -0.333333),  # times 4/3
        ("maxrl", 1.0, 3.0, -1.0),  # success (G - K) / K, failure -1
        ("tail", 1.0, 3.0, -1.0),
    ],
)
def test_group_estimators_of_the_worked_example(example, name: str, half: float, up: float, down: float) -> None:
    found = ESTIMATORS[name](example.rewards, example.group)
    assert close(found, [half, -half, -half, half, up, down, down, down])


def test_batch_scaled_of_the_worked_example(example) -> None:
    # centred advantages have mean square (4 * 0.25 + 0.5625 + 3 * 0.0625) / 8 = 0.21875, root 0.467707
    up, down = 1.603567, -0.534522
    expected = [1.069045, -1.069045, -1.069045, 1.069045, up, down, down, down]
    assert close(batch_scaled(example.rewards, example.group, ddof=0), expected)


@pytest.mark.parametrize(
    ("estimate", "ddof", "expected"),
    [
        (centered, 1, [1.297632, -0.926880, -0.926880, 1.297632, 1.853760, -0.370752, -0.370752, -0.370752]),
        (lambda r, g: r, 1, [1.543033, -0.617213, -0.617213, 1.543033, 1.543033, -0.617213, -0.617213, -0.617213]),
        (lambda r, g: r, 0, [1.581139, -0.632456, -0.632456, 1.581139, 1.581139, -0.632456, -0.632456, -0.632456]),
    ],
)
def test_whitened_advantages_of_the_worked_example(example, estimate, ddof: int, expected: list[float]) -> None:
    # 6 of 21 tokens earn 1: mean 2/7, variance 10/49, so with ddof 0 success is (5/7) / (sqrt(10)/7) = 1.581139
    advantage = estimate(example.rewards, example.group)[:, None] * torch.ones_like(example.mask)
    found = whiten(advantage, example.mask, ddof=ddof, eps=1e-8)
    assert close(found[:, 0], expected)
    assert torch.equal(found, found[:, :1] * example.mask)  # one number a sequence here, and nothing at padding


def test_reward_to_go_adds_up_what_is_still_to_come() -> None:
    rewards = torch.tensor([[1.0, 0, 2, 0], [0, 0, 0, -1]])
    assert reward_to_go(rewards, gamma=1.0).tolist() == [[3, 2, 2, 0], [-1, -1, -1, -1]]
    # 1 + 2/4, 2/2, 2, 0
    assert reward_to_go(rewards, gamma=0.5).tolist() == [[1.5, 1, 2, 0], [-0.125, -0.25, -0.5, -1]]


def test_tail_of_graded_rewards_worked_by_hand() -> None:
    # sorted 0, .2, .5, 1: sums of gap * 4 / reached are 0, .8/3, .8/3 + .6, .8/3 + .6 + 2; their mean is 1
    found = tail(torch.tensor([0.5, 0.0, 1.0, 0.2]), torch.zeros(4))
    assert close(found, [0.8 / 3 + 0.6 - 1, -1.0, 0.8 / 3 + 2.6 - 1, 0.8 / 3 - 1])


@settings(deadline=None)  # a claim about numbers, not about time
@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=12))
def test_tail_is_maxrl_on_binary_rewards(rewards: list[float]) -> None:
    r, group = torch.tensor(rewards), torch.zeros(len(rewards))
    assert torch.allclose(tail(r, group), maxrl(r, group), atol=1e-6)


@pytest.mark.parametrize("reward", [-1.0, 0.7, 2.0])
def test_maxrl_refuses_what_is_neither_0_nor_1_and_names_the_way_out(reward: float) -> None:
    # with rewards of +-1 the mean may be 0 or negative, and the sign of every advantage with it
    with pytest.raises(UserError, match="tailrl"):
        maxrl(torch.tensor([1.0, reward]), torch.zeros(2))


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_reward_that_is_not_finite_is_no_sibling(name: str, bad: float) -> None:
    found = ESTIMATORS[name](torch.tensor([1.0, bad, 0.0, 0.0]), torch.zeros(4))
    alone = ESTIMATORS[name](torch.tensor([1.0, 0.0, 0.0]), torch.zeros(3))
    assert found[1] == 0
    assert torch.equal(found[[0, 2, 3]], alone)


def test_batch_estimators_survive_what_has_nothing_to_tell() -> None:
    nan = float("nan")
    for rewards in ([0.7] * 8, [nan] * 8, [nan, 0.7] * 4):
        r = torch.tensor(rewards)
        assert batch_scaled(r, torch.zeros(8), ddof=0).tolist() == [0.0] * 8
        assert whiten(r[:, None], torch.ones(8, 1), ddof=1, eps=1e-8).tolist() == [[0.0]] * 8
    assert batch_scaled(torch.tensor([1.0]), torch.zeros(1), ddof=1).tolist() == [0.0]
    assert whiten(torch.ones(2, 2), torch.zeros(2, 2), ddof=1, eps=1e-8).tolist() == [[0.0, 0.0]] * 2
    assert not batch_scaled(torch.tensor([1.0, nan, 0.0]), torch.zeros(3), ddof=0).isnan().any()


VALUES = [
    [0.5, 0.6, 0.2], [0.4, 0.3], [0.3, 0.4, 0.2, 0.1], [0.7], [0.2, 0.5], [0.3, 0.2, 0.1, 0.1], [0.25, 0.2, 0.1],
    [0.3, 0.1],
]  # fmt: skip
RAW = [
    [0.442, 0.36, 0.8], [-0.385, -0.3], [-0.265987, -0.38525, -0.195, -0.1], [0.3],
    [0.775, 0.5], [-0.280738, -0.19025, -0.095, -0.1], [-0.23525, -0.195, -0.1], [-0.295, -0.1],
]  # fmt: skip
WHITENED = [
    [1.198843, 0.977517, 2.165117], [-1.033305, -0.803882], [-0.712079, -1.03398, -0.520478, -0.264064], [0.815572],
    [2.09764, 1.35539], [-0.751891, -0.507657, -0.250569, -0.264064], [-0.629116, -0.520478, -0.264064],
    [-0.790387, -0.264064],
]  # fmt: skip
RETURNS = [
    [0.942, 0.96, 1.0], [0.015, 0.0], [0.034013, 0.01475, 0.005, 0.0], [1.0],
    [0.975, 1.0], [0.019263, 0.00975, 0.005, 0.0], [0.01475, 0.005, 0.0], [0.005, 0.0],
]  # fmt: skip


def wide(rows: list[list[float]]) -> Tensor:
    return torch.tensor([[*row, *[0.0] * (4 - len(row))] for row in rows], dtype=torch.float64)


def test_gae_of_the_worked_example(example) -> None:
    # row 1, backwards: 1 - 0.2 = 0.8; 0.2 - 0.6 + 0.95 * 0.8 = 0.36; 0.6 - 0.5 + 0.95 * 0.36 = 0.442
    last = torch.nn.functional.one_hot(example.mask.sum(dim=1).long() - 1, 4)
    found = gae(
        last * example.rewards[:, None],
        wide(VALUES),
        bootstrap=torch.full((8,), 9.0),  # all rows have ended, so what they would be worth is nothing
        discount=1 - last,
        mask=example.mask,
        gamma=1.0,
        lam=0.95,
    )
    for ours, theirs in (
        (found, RAW),
        (whiten(found, example.mask, ddof=1, eps=1e-8), WHITENED),
        ((found + wide(VALUES)) * example.mask, RETURNS),
    ):
        assert close(ours.flatten(), wide(theirs).flatten().tolist())


def row_gae(
    rewards: list[float], values: list[float], mask: list[float], *, end: float, lam: float, gamma: float = 1.0
) -> list[float]:
    """`gae` of one row that was cut off where its value is `end`."""
    rows = (torch.tensor([x], dtype=torch.float64) for x in (rewards, values, mask))
    r, v, m = rows
    bootstrap = torch.tensor([end])
    return gae(r, v, bootstrap=bootstrap, discount=torch.ones_like(r), mask=m, gamma=gamma, lam=lam)[0].tolist()


def test_a_truncation_is_worth_what_its_last_state_is() -> None:
    # delta = (0.3 - 0.2, 0.5 + 0.9 * 0.8 - 0.3 = 0.92) with gamma 0.9 once; A_1 = 0.9 * 0.3 - 0.2 + 0.9 * 0.5 * 0.92
    found = row_gae([0.0, 0.5], [0.2, 0.3], [1.0, 1.0], end=0.8, lam=0.5, gamma=0.9)
    assert found == pytest.approx([0.484, 0.92])


numbers = st.floats(-2, 2, width=32)
steps = st.lists(st.tuples(numbers, numbers, st.booleans()), min_size=1, max_size=6)


@given(steps, numbers, st.floats(0, 1, width=32))
@settings(max_examples=50, deadline=None)
def test_tokens_of_the_environment_and_padding_take_no_time(
    row: list[tuple[float, float, bool]], end: float, lam: float
) -> None:
    row = [(0.5, 0.25, True), *row]  # a policy's token, which the rewards of the environment can count for
    whole = row_gae(*(list(map(float, x)) for x in zip(*row, (0, 7, False), strict=True)), end=end, lam=lam)
    alone: list[list[float]] = []
    for reward, value, chosen in row:
        if chosen:
            alone.append([reward, value, 1.0])
        else:
            alone[-1][0] += reward
    short = row_gae(*(list(x) for x in zip(*alone, strict=True)), end=end, lam=lam)
    chosen_steps = [t for t, (_, _, chosen) in enumerate(row) if chosen]
    assert [whole[t] for t in chosen_steps] == pytest.approx(short, abs=1e-5)
    assert all(whole[t] == 0 for t in range(len(whole)) if t not in chosen_steps)


@given(steps, st.floats(0, 1, width=32))
@settings(max_examples=50, deadline=None)
def test_lambda_1_is_the_return_less_the_value_and_lambda_0_one_step(
    row: list[tuple[float, float, bool]], end: float
) -> None:
    rewards, values = [r for r, _, _ in row], [v for _, v, _ in row]
    ones, after = [1.0] * len(row), [*values[1:], end]
    to_go = [sum(rewards[t:]) + end - values[t] for t in range(len(row))]
    assert row_gae(rewards, values, ones, end=end, lam=1.0) == pytest.approx(to_go, abs=1e-5)
    step = [r + b - a for r, a, b in zip(rewards, values, after, strict=True)]
    assert row_gae(rewards, values, ones, end=end, lam=0.0) == pytest.approx(step, abs=1e-5)


def test_process_supervision_of_two_samples_worked_by_hand() -> None:
    # steps earn 0 and 1, and 0, 0 and 1: mean 2/5, variance (3 * 0.16 + 2 * 0.36) / 4 = 0.3, so a step that earns
    # is worth 0.6 / sqrt(0.3), one that does not -0.4 / sqrt(0.3)
    rewards = torch.tensor([[0.0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1]])
    ends = torch.tensor([[0.0, 1, 0, 1, 0, 0], [1, 0, 1, 0, 0, 1]])
    up, down = 0.6 / 0.3**0.5, -0.4 / 0.3**0.5
    first = [up + down, up + down, up, up, 0, 0]
    second = [up + 2 * down, up + down, up + down, up, up, up]
    found = process_zscore(rewards, ends, torch.zeros(2), ddof=1, eps=0.0)
    assert close(found, [first, second])


@settings(deadline=None)  # a claim about numbers, not about time
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.floats(-3, 3, width=32)), min_size=1, max_size=12))
def test_process_supervision_of_one_step_a_sample_is_outcome_supervision(rows: list[tuple[int, int, float]]) -> None:
    ends = torch.zeros(len(rows), 4)
    ends[torch.arange(len(rows)), torch.tensor([length - 1 for _, length, _ in rows])] = 1
    group, earned = torch.tensor([g for g, _, _ in rows]), torch.tensor([r for _, _, r in rows])
    found = process_zscore(ends * earned[:, None], ends, group, ddof=1, eps=1e-6)
    outcome = zscore(earned, group, ddof=1, eps=1e-6)
    inside = torch.arange(4) < torch.tensor([length for _, length, _ in rows])[:, None]
    assert torch.allclose(found, outcome[:, None] * inside, atol=1e-5)


def test_process_supervision_counts_what_falls_within_a_step_at_its_end() -> None:
    ends = torch.tensor([[0.0, 1, 0, 1]] * 2)
    within, at = torch.tensor([[0.5, 0.5, 0, 2], [0, 0, 3, 0]]), torch.tensor([[0, 1.0, 0, 2], [0, 0, 0, 3]])
    options = {"ddof": 1, "eps": 1e-6}
    group = torch.zeros(2)
    assert torch.allclose(process_zscore(within, ends, group, **options), process_zscore(at, ends, group, **options))


@pytest.mark.parametrize("reward", [0.7, 1.0])
def test_process_supervision_without_contrast_or_siblings_teaches_nothing(reward: float) -> None:
    ends = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
    options = {"ddof": 1, "eps": 1e-6}
    assert not process_zscore(ends * reward, ends, torch.zeros(3), **options).any()
    alone = process_zscore(torch.tensor([[1.0, 0, 0]]), ends[:1], torch.zeros(1), **options)
    assert not alone.any()  # though its two steps differ
    lost = torch.tensor([[1.0, 0, 0], [0, float("nan"), 0], [0, 0, 0.5]])
    found, whole = (
        process_zscore(lost[rows], ends[rows], torch.zeros(len(rows)), **options) for rows in ([0, 1, 2], [0, 2])
    )
    assert torch.equal(found, torch.stack([whole[0], torch.zeros(3), whole[1]]))
