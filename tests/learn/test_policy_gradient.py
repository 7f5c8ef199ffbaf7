"""Laws of `PolicyGradient.learn` on a real model: the gradient is a function of the samples and of nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from reasonenv.agents.grpo import GRPO, GRPOConfig
from reasonenv.core import Group, Role
from reasonenv.learn.agent import Budget
from reasonenv.policy.lm import Policy
from reasonenv.registry import find_agent
from reasonenv.testing import gradients, scored


def step(policy: Policy, groups: list[Group], **numbers) -> Tensor:
    """The gradient of the only step of GRPO."""
    (found,) = gradients(GRPO(policy, GRPOConfig(**numbers)), groups)
    return found


def same(a: Tensor, b: Tensor) -> bool:
    return float((a - b).norm() / b.norm()) < 1e-5


@pytest.mark.parametrize("tokens", [1, 100, 300])
def test_the_gradient_does_not_depend_on_micro_batches(policy: Policy, groups: list[Group], tokens: int) -> None:
    # 1 token: every row alone
    assert same(step(policy, groups, tokens_per_microbatch=tokens), step(policy, groups, tokens_per_microbatch=10**6))


def test_the_gradient_does_not_depend_on_the_order_of_rows_and_groups(policy: Policy, groups: list[Group]) -> None:
    turned = [replace(g, trajectories=g.trajectories[::-1]) for g in groups[::-1]]
    assert same(step(policy, turned), step(policy, groups))


def test_the_gradient_does_not_depend_on_padding(policy: Policy, groups: list[Group]) -> None:
    # a group that teaches nothing, of the longest possible answers, widens the batch; it counts as four sequences more
    wide = groups[1].trajectories[-1]
    assert wide.truncated
    widened = [groups[0], Group(wide.problem, (wide,) * 4)]
    alone, beside = step(policy, groups[:1], beta=0), step(policy, widened, beta=0)
    assert same(2 * beside, alone)


def test_groups_of_equal_rewards_give_no_gradient(policy: Policy, groups: list[Group]) -> None:
    assert groups[2].trajectories[0].ret == groups[2].trajectories[3].ret == 1
    assert step(policy, groups[2:], beta=0).abs().max() == 0


def test_tokens_of_the_environment_have_no_influence(policy: Policy, groups: list[Group]) -> None:
    # the second token of every answer is declared the environment's; then its recorded log-prob means nothing
    def environment(logprob: float) -> list[Group]:
        def mark(t):
            roles, logprobs = t.roles.copy(), t.logprobs.copy()
            roles[1], logprobs[1] = Role.ENVIRONMENT, logprob
            return replace(t, roles=roles, logprobs=logprobs)

        return [replace(g, trajectories=tuple(map(mark, g.trajectories))) for g in groups[:2]]

    policy_only = step(policy, groups[:2])
    marked = step(policy, environment(0.0))
    assert torch.equal(marked, step(policy, environment(-50.0)))
    assert not same(marked, policy_only)


def test_one_step_is_the_gradient_of_the_log_likelihood_weighted_by_hand(policy: Policy, groups: list[Group]) -> None:
    # on-policy GRPO without KL, written out: - 1/B sum_i A_i / L_i sum_t grad log pi
    agent = GRPO(policy, GRPOConfig(beta=0))
    batch = agent.batch(groups)
    logp, _ = policy.logprobs(batch)
    std = np.sqrt(1 / 3)  # of [1, 1, 0, 0]; that of [1, 0, 0, 0] is 1/2, and [1, 1, 1, 1] teaches nothing
    advantage = torch.tensor([0.5 / std] * 2 + [-0.5 / std] * 2 + [1.5, -0.5, -0.5, -0.5] + [0.0] * 4)
    (-(advantage * (logp * batch.mask).sum(dim=1) / batch.length).mean()).backward()
    expected = torch.cat([p.grad.flatten() for p in policy.parameters()])
    policy.model.zero_grad(set_to_none=True)
    assert same(step(policy, groups, beta=0), expected)


def test_a_batch_marks_where_steps_end(policy: Policy, groups: list[Group]) -> None:
    batch, rows = GRPO(policy).batch(groups), [t for g in groups for t in g.trajectories]
    assert batch.ends is not None
    assert [row.nonzero()[:, 0].tolist() for row in batch.ends] == [t.ends.tolist() for t in rows]
    assert max(len(t.ends) for t in rows) > 2


def test_minibatches_and_epochs_are_counted_as_updates(policy: Policy, groups: list[Group]) -> None:
    agent = GRPO(policy, GRPOConfig(epochs=2, minibatches=3, lr=1e-5))
    metrics = agent.learn(groups, Budget(0, 1))
    assert metrics["updates"] == 6
    assert metrics["ratio/moved"] > 0  # later steps are off-policy
    assert all(np.isfinite(value) for value in metrics.values())


def test_a_temperature_is_that_of_the_log_probs_too(policy: Policy, groups: list[Group]) -> None:
    agent = GRPO(policy, GRPOConfig(temperature=2.0, lr=1e-5))
    assert agent.learn(scored(policy, groups, temperature=2.0), Budget(0, 1))["gap/mean"] < 1e-5


def test_a_reward_that_is_not_finite_is_in_no_loss_and_no_denominator(policy: Policy, groups: list[Group]) -> None:
    rows = groups[0].trajectories
    lost = replace(rows[3], rewards=np.full_like(rows[3].rewards, np.nan))
    broken = [replace(groups[0], trajectories=(*rows[:3], lost))]
    whole = [replace(groups[0], trajectories=rows[:3])]
    for name in ("grpo", "reinforce", "rloo", "dr_grpo", "maxrl", "gspo", "scalerl", "reinforce_pp", "dppo"):
        kind = find_agent(name)
        (found,), (expected,) = gradients(kind(policy), broken), gradients(kind(policy), whole)
        assert same(found, expected), name
    assert GRPO(policy).learn(broken, Budget(0, 1))["rewards/invalid"] == 0.25


@pytest.mark.parametrize("name", ["scalerl", "dppo", "gspo", "reinforce_pp_baseline", "rloo"])
def test_the_gradient_of_every_kind_of_weights_is_free_of_the_cut(
    policy: Policy, groups: list[Group], name: str
) -> None:
    kind = find_agent(name)
    turned = [replace(g, trajectories=g.trajectories[::-1]) for g in groups[::-1]]
    (small,) = gradients(kind(policy, kind.Config(tokens_per_microbatch=100)), turned)
    (large,) = gradients(kind(policy, kind.Config(tokens_per_microbatch=10**6)), groups)
    assert same(small, large)


def test_dppo_takes_its_ratio_from_the_sampler_and_grpo_does_not(policy: Policy, groups: list[Group]) -> None:
    # a sampler that gave every token 10 % more: rho = 1 / 1.1 scales the gradient of DPPO alone
    def shift(t):
        return replace(t, logprobs=t.logprobs + np.float32(np.log(1.1)))

    moved = [replace(g, trajectories=tuple(map(shift, g.trajectories))) for g in groups]
    for name, scale in (("dppo", 1.1), ("scalerl", 1.1), ("dr_grpo", 1.0), ("cispo", 1.0)):
        kind = find_agent(name)
        (found,), (expected,) = gradients(kind(policy), moved), gradients(kind(policy), groups)
        assert same(scale * found, expected), name
