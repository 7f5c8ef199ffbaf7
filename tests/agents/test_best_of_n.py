"""Best-of-n distillation: whom it imitates, and that the mean update is that of the best-of-n distribution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from reasonenv.agents.best_of_n import BestOfN
from reasonenv.learn.agent import Budget
from reasonenv.testing import TabularPolicy, TinyMDP, expected_update

# every response has another reward, so one is the best: 0.25, 0.5, 0.75 and 1
RANKED = TinyMDP(actions=2, horizon=2, reward=lambda r: (1 + r[0] + 2 * r[1]) / 4)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_mean_update_climbs_the_likelihood_of_best_of_n_answers(n: int) -> None:
    # pi_n(S) = P(R <= R(S))^n - P(R < R(S))^n; with two tokens an answer, their mean is half of their sum
    policy = TabularPolicy(RANKED, seed=1)
    logp = policy.log_likelihood()
    chances, rewards = logp.detach().exp(), RANKED.rewards
    up_to = torch.stack([chances[rewards <= r].sum() for r in rewards])
    below = torch.stack([chances[rewards < r].sum() for r in rewards])
    (expected,) = torch.autograd.grad(((up_to**n - below**n) * logp).sum() / 2, policy.theta)
    agent = BestOfN(TabularPolicy(RANKED, seed=1), BestOfN.Config(samples_per_problem=n))
    found = expected_update(agent, RANKED)
    if n == 1:  # its own draws teach nothing: the mean of the score is 0
        assert float(found.norm()) < 1e-6
    else:
        assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_it_imitates_the_best_that_earned_something() -> None:
    policy = TabularPolicy(RANKED, seed=1)
    agent = BestOfN(policy, BestOfN.Config(lr=0.1))
    group = RANKED.group(policy, [0, 2, 1])
    assert [t.ret for t in group.trajectories] == [0.25, 0.5, 0.75]
    assert agent.best(group.trajectories) is group.trajectories[2]
    nothing = [replace(t, rewards=np.zeros_like(t.rewards)) for t in group.trajectories]
    idle = agent.learn([replace(group, trajectories=tuple(nothing))], Budget(0, 1))
    assert idle == {"groups/kept": 0.0, "updates": 0.0}
    before = float(policy.log_likelihood()[1].detach())
    metrics = agent.learn([group, replace(group, trajectories=tuple(nothing))], Budget(0, 1))
    assert (metrics["groups/kept"], metrics["updates"]) == (0.5, 1.0)
    assert float(policy.log_likelihood()[1].detach()) > before


def test_of_equals_a_lot_decides_whatever_their_order() -> None:
    policy = TabularPolicy(RANKED, seed=1)
    rows = [replace(t, rewards=np.array([0.0, 1.0], np.float32)) for t in RANKED.group(policy, [0, 1, 2]).trajectories]
    chosen = set()
    for seed in range(20):
        agent = BestOfN(policy, seed=seed)
        best = agent.best(rows)
        assert agent.best(rows[::-1]) is best
        chosen.add(tuple(best.tokens.tolist()))
    assert len(chosen) == 3


def test_it_learns_from_what_a_search_selected() -> None:
    policy = TabularPolicy(RANKED, seed=1)
    rows = tuple(replace(t, selected=True) for t in RANKED.group(policy, [0, 3]).trajectories)
    metrics = BestOfN(policy).learn([replace(RANKED.group(policy, [0]), trajectories=rows)], Budget(0, 1))
    assert metrics["updates"] == 1
