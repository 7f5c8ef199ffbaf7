"""Exactness: the mean of each agent's update, over every group that could be drawn, is the gradient it claims.

On a table small enough to enumerate (4 to 9 responses, groups of 2 to 5) both sides are finite sums. With rewards 0
and 1 and answers of one length T, a group estimator that gives a success a1(K) and a failure a0(K) when K of G succeed
has the mean

    w(p) grad p,   w(p) = sum_K Binomial(K; G, p) [K/G a1(K) / p - (G - K)/G a0(K) / (1 - p)]

because E[grad log pi | success] = grad p / p and E[grad log pi | failure] = - grad p / (1 - p).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from reasonenv.catalog import AGENTS, find_agent
from reasonenv.errors import UserError
from reasonenv.learn.agent import Budget
from reasonenv.learn.policy_gradient import PolicyGradient
from reasonenv.testing import TabularPolicy, TinyMDP, expected_update

GRADIENT = [name for name in AGENTS if issubclass(find_agent(name), PolicyGradient)]


def grades(response: tuple[int, ...]) -> float:
    """Some reward for every response; none stands out."""
    return (3 * sum(response) + 2 * len(response) + response[0]) % 7 / 7


UNEVEN = TinyMDP(actions=3, horizon=2, reward=grades, stops=True)  # lengths 1 and 2
GRADED = TinyMDP(actions=2, horizon=2, reward=lambda r: {(0, 0): 0.0, (0, 1): 0.3, (1, 0): 0.5, (1, 1): 1.0}[r])
BINARY = TinyMDP(actions=2, horizon=2, reward=lambda r: float(r == (1, 0)))


def agent(name: str, mdp: TinyMDP, **numbers: Any) -> Any:
    kind = find_agent(name)
    return kind(TabularPolicy(mdp, seed=1), kind.Config(**{"samples_per_problem": 3, **numbers}))


def slope(objective: Callable[[TabularPolicy], Tensor], mdp: TinyMDP) -> Tensor:
    """The exact gradient of an objective at the policy of `agent`."""
    policy = TabularPolicy(mdp, seed=1)
    return torch.autograd.grad(objective(policy), policy.theta)[0].double()


def same(found: Tensor, expected: Tensor) -> bool:
    assert float(expected.norm()) > 1e-3  # else there is nothing to compare
    return float((found - expected).norm() / expected.norm()) < 1e-5


def test_the_table_is_a_policy() -> None:
    assert len(UNEVEN.responses) == 7  # 0 | 10 11 12 | 20 21 22
    policy = TabularPolicy(UNEVEN)
    chances = policy.log_likelihood().detach().exp()
    assert float(chances.sum()) == pytest.approx(1.0)
    group = UNEVEN.group(policy, range(7))
    assert [sum(t.logprobs) for t in group.trajectories] == pytest.approx(policy.log_likelihood().tolist(), abs=1e-6)
    assert [t.ret for t in group.trajectories] == pytest.approx(UNEVEN.rewards.tolist())
    assert [t.terminated for t in group.trajectories] == [r[-1] == 0 for r in UNEVEN.responses]
    with pytest.raises(UserError, match="horizon is 7"):
        TinyMDP(actions=2, horizon=7, reward=grades)


@pytest.mark.parametrize(
    ("name", "numbers", "factor"),
    [
        ("reinforce", {}, 1.0),
        ("rloo", {}, 1.0),
        ("tree", {}, 1.0),
        # a baseline that holds the sample itself costs (G - 1) / G = 2/3
        ("dr_grpo", {"divisor": 10}, 2 / 3 / 10),
        ("dppo", {"divisor": 10}, 2 / 3 / 10),
        *(("dppo", {"divisor": 10, "divergence": name}, 2 / 3 / 10) for name in ("kl", "top_tv", "top_kl")),
    ],
)
def test_expected_reward_whatever_the_lengths_and_rewards(name: str, numbers: dict[str, Any], factor: float) -> None:
    assert same(expected_update(agent(name, UNEVEN, **numbers), UNEVEN), factor * slope(UNEVEN.value, UNEVEN))


@pytest.mark.parametrize("name", ["reinforce", "reinforce_pp"])
def test_one_sample_is_enough_where_no_sibling_is_asked(name: str) -> None:
    found = expected_update(agent(name, UNEVEN, samples_per_problem=1), UNEVEN)
    if name == "reinforce":
        assert same(found, slope(UNEVEN.value, UNEVEN))
    else:
        assert found.abs().max() == 0  # but over a batch of one, all tokens have the same advantage


def log_success(p: Tensor, terms: int) -> Tensor:
    """log p = - sum_k (1 - p)^k / k, so far."""
    return -sum(((1 - p) ** k / k for k in range(1, terms + 1)), torch.zeros(()))


@pytest.mark.parametrize("samples", [2, 3, 5])
def test_maxrl_climbs_the_log_likelihood_of_success_truncated_after_its_siblings(samples: int) -> None:
    # its tokens are averaged: with two tokens an answer, half of the sum over the sequence
    found = expected_update(agent("maxrl", BINARY, samples_per_problem=samples), BINARY)
    assert same(2 * found, slope(lambda policy: log_success(BINARY.value(policy), samples - 1), BINARY))


def test_tailrl_climbs_the_log_likelihood_of_every_level() -> None:
    def objective(policy: TabularPolicy) -> Tensor:
        chances, total = policy.log_likelihood().exp(), torch.zeros(())
        for below, level in ((0.0, 0.3), (0.3, 0.5), (0.5, 1.0)):
            total = total + (level - below) * log_success(chances @ (GRADED.rewards >= level).double(), 2)
        return total

    assert same(2 * expected_update(agent("tailrl", GRADED), GRADED), slope(objective, GRADED))


def zscore(k: int, g: int) -> float:
    return math.sqrt(k * (g - k) / (g * (g - 1)))


def whitened(k: int, g: int) -> float:
    return math.sqrt(k * (g - k) / g**2 * 2 * g / (2 * g - 1))  # over two tokens a sample, ddof 1


def batch_scaled(k: int, g: int) -> float:
    return math.sqrt(k * (g - k)) / g


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("rloo", lambda k, g: (g - 1) / g),
        ("grpo", zscore),
        ("dapo", zscore),
        ("cispo", zscore),
        ("gspo", zscore),
        ("ppo", whitened),
        ("reinforce_pp", whitened),
        ("reinforce_pp_baseline", whitened),
        ("scalerl", batch_scaled),
        ("maxrl", lambda k, g: k / g),
        ("tailrl", lambda k, g: k / g),
    ],
)
def test_estimators_of_the_form_centred_over_scale_weigh_the_gradient_of_success_as_derived(name: str, scale) -> None:
    g = 4
    p = float(BINARY.value(TabularPolicy(BINARY, seed=1)).detach())
    w = sum(
        math.comb(g, k)
        * p**k
        * (1 - p) ** (g - k)
        * (k / g * (1 - k / g) / p + (1 - k / g) * k / g / (1 - p))
        / scale(k, g)
        for k in range(1, g)
    )
    tokens = 1 if name == "rloo" else 2  # sums over the sequence, or means
    numbers = {"epochs": 1, "minibatches": 1, "beta": 0.0, "lam": 1.0} if name == "ppo" else {}
    found = expected_update(agent(name, BINARY, samples_per_problem=g, **numbers), BINARY)
    assert same(found, w / tokens * slope(BINARY.value, BINARY))


def test_two_problems_that_compete_share_the_policy_under_maxrl_and_not_under_grpo() -> None:
    """Where MaxRL's pass@k beats GRPO's, and by how much.

    One action, two problems that the policy cannot tell apart: A, asked twice as often, wants action 0, B action 1.
    With p the chance of action 0 the mean update of an estimator of weight w moves p along 2 w(p) - w(1 - p).

    The z-score is symmetric in right and wrong, so w(p) = w(1 - p) for groups of any size, and the slope is w(p) > 0:
    GRPO gives all to A, p -> 1 (so does E[R], where w = 1), and pass@k = 2/3 for every k. MaxRL from G = 4 samples has
    w(p) = (1 - (1 - p)^3) / p = 3 - 3p + p^2, so it rests where 2 (3 - 3p + p^2) = 1 + p + p^2, p = (7 - sqrt 29) / 2 =
    0.807418: pass@1 = (2 p + 1 - p) / 3 = 0.602473 < 2/3, but pass@8 = 1 - (2 (1 - p)^8 + p^8) / 3 = 0.939790.
    """
    often, seldom = (TinyMDP(actions=2, horizon=1, reward=lambda r, a=a: float(r == (a,))) for a in (0, 1))

    def pass_at(name: str, *ks: int) -> list[float]:
        learner = agent(name, often, samples_per_problem=4)
        for _ in range(15):
            mean = (2 * expected_update(learner, often) + expected_update(learner, seldom)) / 3
            with torch.no_grad():
                learner.policy.theta += 8 * mean.float()
        p = [float(mdp.value(learner.policy).detach()) for mdp in (often, seldom)]
        return [(2 * (1 - (1 - p[0]) ** k) + 1 - (1 - p[1]) ** k) / 3 for k in ks]

    one, eight = pass_at("maxrl", 1, 8)
    assert (one, eight) == pytest.approx((0.602473, 0.939790), abs=1e-4)
    one, eight = pass_at("grpo", 1, 8)
    assert 0.65 < one <= 2 / 3
    assert eight < 0.8  # still falling towards 2/3


def test_the_length_bias_of_grpo_is_real_and_dr_grpo_is_free_of_it() -> None:
    # one long answer is right; dividing by the length makes wrong long answers cheaper than wrong short ones
    mdp = TinyMDP(actions=3, horizon=2, reward=lambda r: float(r == (1, 0)), stops=True)

    def cosine(name: str) -> float:
        found, true = expected_update(agent(name, mdp), mdp), slope(mdp.value, mdp)
        return float((found * true).sum() / found.norm() / true.norm())

    assert cosine("dr_grpo") > 1 - 1e-6
    assert cosine("grpo") < 0.999


def test_ei_ends_uniform_over_the_distinct_correct_solutions() -> None:
    # its fixed point: however unlikely one of them was, each counts once
    mdp = TinyMDP(actions=3, horizon=2, reward=lambda r: float(r in [(1, 0), (2, 0)]), stops=True)
    policy, kind = TabularPolicy(mdp, seed=1), find_agent("ei")
    learner = kind(policy, kind.Config(lr=0.3, epochs=100))
    likely = [mdp.responses.index((1, 0))] * 7
    learner.learn([mdp.group(policy, [*likely, mdp.responses.index((2, 0)), 0])], Budget(0, 1))
    chances = dict(zip(mdp.responses, policy.log_likelihood().detach().exp().tolist(), strict=True))
    assert chances[1, 0] == pytest.approx(0.5, abs=0.02)
    assert chances[2, 0] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", GRADIENT)
def test_every_agent_reaches_the_optimum(name: str) -> None:
    mdp = TinyMDP(actions=3, horizon=2, reward=lambda r: float(r == (2, 1)), stops=True)
    kind, policy = find_agent(name), TabularPolicy(mdp, seed=1)
    learner = kind(policy, kind.Config(lr=0.1, samples_per_problem=8))
    before = float(mdp.value(policy).detach())
    for i in range(80):
        learner.learn([mdp.sample(policy, 8, "rollout", i, j) for j in range(2)], Budget(i, 80))
    assert before < 0.3
    assert float(mdp.value(policy).detach()) > 0.9
