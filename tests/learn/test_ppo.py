"""PPO: its mean update is the gradient of what it claims, its critic learns returns, and its laws hold.

`Plain` is PPO without the two things that make a mean inexact: advantages are not standardised, and tokens are summed
over the sequence where PPO averages over those of the batch.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from reasonenv.agents.ppo import PPO, PPOConfig, critique
from reasonenv.core import Batch, Group, Role
from reasonenv.errors import UserError
from reasonenv.learn.agent import Budget
from reasonenv.learn.weights import sequence_sum
from reasonenv.policy.tiny import tiny_policy
from reasonenv.testing import TabularPolicy, TinyMDP, expected_update, gradients

MDP = TinyMDP(actions=3, horizon=2, reward=lambda r: (3 * sum(r) + r[0]) % 7 / 7, stops=True)  # lengths 1 and 2
ENDED = torch.tensor([r[-1] == 0 for r in MDP.responses])
STATES = len(MDP.states)


class Plain(PPO):
    """PPO before it standardises."""

    def advantage(self, batch: Batch) -> Tensor:
        values, returns = critique(batch)
        return returns - values

    def weights(self, batch: Batch) -> Tensor:
        return sequence_sum(batch.mask)


def plain(mdp: TinyMDP, values: Tensor, **numbers) -> Plain:
    """With the table of values, unfinished responses first and then the complete ones."""
    config = PPOConfig(**{"epochs": 1, "minibatches": 1, "beta": 0.0, "samples_per_problem": 1, **numbers})
    agent = Plain(TabularPolicy(mdp, seed=1), config)
    agent.critic.head.weight.data[0] = values.float()
    return agent


def slope(rewards: Tensor) -> Tensor:
    """The exact gradient of E[rewards]."""
    policy = TabularPolicy(MDP, seed=1)
    value = policy.log_likelihood().exp() @ rewards.double()
    return torch.autograd.grad(value, policy.theta)[0].double()


def noise(size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(0))


def perfect() -> Tensor:
    """E[R] from every unfinished response on; nothing follows a complete one."""
    chances = TabularPolicy(MDP, seed=1).log_likelihood().detach().exp()
    table = torch.zeros(STATES + len(MDP.responses), dtype=torch.float64)
    for prefix, number in MDP.states.items():
        after = torch.tensor([r[: len(prefix)] == prefix for r in MDP.responses])
        table[number] = (chances * MDP.rewards)[after].sum() / chances[after].sum()
    return table


def same(found: Tensor, expected: Tensor) -> bool:
    assert float(expected.norm()) > 1e-3  # else there is nothing to compare
    return float((found - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_with_a_perfect_critic_it_climbs_the_expected_reward_whatever_lambda(lam: float) -> None:
    assert same(expected_update(plain(MDP, perfect(), lam=lam), MDP), slope(MDP.rewards))


def test_with_lambda_1_it_does_so_with_any_critic_of_what_is_unfinished() -> None:
    values = torch.cat([noise(STATES), torch.zeros(len(MDP.responses))])
    assert same(expected_update(plain(MDP, values, lam=1.0), MDP), slope(MDP.rewards))
    assert not same(expected_update(plain(MDP, values, lam=0.5), MDP), slope(MDP.rewards))


def test_a_truncated_response_is_worth_its_rewards_alone_unless_it_is_to_be_bootstrapped() -> None:
    # with lambda 1 the objective is E[R], or E[R + V(end) where the response was cut off]; V at an EOS never counts
    ends = 1 + noise(len(MDP.responses)).abs()
    values = torch.cat([torch.zeros(STATES), ends])
    assert same(expected_update(plain(MDP, values, lam=1.0), MDP), slope(MDP.rewards))
    agent = plain(MDP, values, lam=1.0, bootstrap_truncated=True)
    assert same(expected_update(agent, MDP), slope(MDP.rewards + ends * ~ENDED))


@pytest.mark.parametrize(
    ("bootstrap", "first", "second"),
    [
        # response (1, 2) is cut at its budget of 2 and earns (3 * 3 + 1) % 7 / 7 = 3/7; V = 0.2, 0.3 before its tokens
        # and 0.5 behind them; lambda 0.5. The last delta is 3/7 - 0.3 = 0.128571, the one before 0.3 - 0.2 = 0.1
        (False, 0.1 + 0.5 * 0.128571, 0.128571),
        (True, 0.1 + 0.5 * 0.628571, 0.628571),  # 3/7 + 0.5 - 0.3
    ],
)
def test_the_advantages_of_a_cut_answer_by_hand(bootstrap: bool, first: float, second: float) -> None:
    table = torch.zeros(STATES + len(MDP.responses))
    table[MDP.states[()]], table[MDP.states[1,]] = 0.2, 0.3
    table[STATES + MDP.responses.index((1, 2))] = 0.5
    agent = plain(MDP, table, lam=0.5, bootstrap_truncated=bootstrap)
    batch = agent.prepare(agent.batch([MDP.group(agent.policy, [MDP.responses.index((1, 2))])]))
    assert agent.advantage(batch)[0].tolist() == pytest.approx([first, second], abs=1e-6)
    assert PPOConfig().bootstrap_truncated is False


def test_the_critic_is_moved_towards_the_return_at_every_choice() -> None:
    # response (1, 0) earns (3 * 1 + 1) % 7 / 7 = 4/7 and ends there; lambda 1, so both returns are 4/7
    values = torch.cat([noise(STATES), noise(len(MDP.responses))])
    agent = plain(MDP, values, lam=1.0, value_weight=0.5)
    (gradient,) = gradients(agent, [MDP.group(agent.policy, [MDP.responses.index((1, 0))])])
    weight = gradient[agent.policy.theta.numel() :][: len(values)]
    expected = torch.zeros(len(values))
    for prefix in ((), (1,)):
        number = MDP.states[prefix]
        expected[number] = 0.5 * (values[number] - 4 / 7)
    torch.testing.assert_close(weight, expected)


def test_the_kl_is_a_reward_of_each_token() -> None:
    # without any other reward, lambda 1 and no critic, A_t = - beta sum_(u >= t) (log pi - log ref)_u
    silent = replace(MDP, reward=lambda r: 0.0)
    agent = plain(silent, torch.zeros(STATES + len(MDP.responses)), lam=1.0, beta=0.5)
    with torch.no_grad():
        agent.policy.theta.add_(noise(agent.policy.theta.numel()).view_as(agent.policy.theta))
    group = silent.group(agent.policy, [silent.responses.index((1, 2))])
    batch = agent.prepare(agent.batch([group]))
    d = batch.sampled_logp - agent.reference.logprobs(batch)[0]
    assert agent.advantage(batch)[0].tolist() == pytest.approx([-0.5 * float(d.sum()), -0.5 * float(d[0, 1])])


def test_equal_rewards_teach_nothing_to_those_who_knew_and_to_those_who_look_at_the_end_alone() -> None:
    mdp = TinyMDP(actions=2, horizon=2, reward=lambda r: 0.7)
    known = torch.cat([torch.full((3,), 0.7), torch.zeros(4)])
    for values, lam in ((known, 0.95), (torch.zeros(7), 1.0)):
        agent = PPO(TabularPolicy(mdp), PPOConfig(epochs=1, minibatches=1, beta=0.0, lam=lam))
        agent.critic.head.weight.data[0] = values
        (gradient,) = gradients(agent, [mdp.group(agent.policy, [0, 1, 2, 3])])
        assert gradient[: agent.policy.theta.numel()].abs().max() == 0


def test_the_critic_comes_to_know_the_mean_return_of_every_state() -> None:
    # every response once, again and again: the value of a state is the mean over the responses that pass it
    policy = TabularPolicy(MDP, seed=1)
    group = MDP.group(policy, range(len(MDP.responses)))
    agent = PPO(policy, PPOConfig(lr=0.01, minibatches=1, beta=0.0, lam=1.0, clip=0.5))
    found = [agent.learn([group], Budget(i, 60)) for i in range(60)]
    for prefix in ((), (1,), (2,)):
        passing = [MDP.reward(r) for r in MDP.responses if r[: len(prefix)] == prefix]
        value = agent.critic.head.weight[0, MDP.states[prefix]].item()
        assert value == pytest.approx(np.mean(passing), abs=0.02)
    assert found[0]["value/explained"] == pytest.approx(0.0, abs=1e-6)  # V = 0 explains nothing
    assert 0 < found[-1]["value/explained"] < 1


@pytest.mark.parametrize("separate", [False, True])
def test_a_restored_agent_goes_on_bit_for_bit(separate: bool, policy, groups) -> None:
    config = PPOConfig(lr=1e-4, separate_critic=separate, minibatches=2, epochs=2)
    straight, other = PPO(policy, config), PPO(tiny_policy(0), config)
    initial = {name: tensor.clone() for name, tensor in straight.state_dict().items()}
    straight.learn(groups, Budget(0, 2))
    middle = {name: tensor.clone() for name, tensor in straight.state_dict().items()}
    assert any(not torch.equal(initial[name], middle[name]) for name in middle if name.startswith("critic.head"))
    straight.learn(groups, Budget(1, 2))
    other.load_state_dict(middle)
    other.learn(groups, Budget(1, 2))
    mine, theirs = straight.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("separate", [False, True])
def test_the_gradient_is_free_of_the_cut_the_order_and_the_padding(separate: bool, policy, groups) -> None:
    def step(samples: list[Group], tokens: int) -> Tensor:
        config = PPOConfig(epochs=1, minibatches=1, separate_critic=separate, tokens_per_microbatch=tokens)
        agent = PPO(policy, config)
        torch.nn.init.normal_(agent.critic.head.weight, std=0.05, generator=torch.Generator().manual_seed(0))
        return gradients(agent, samples)[0]

    turned = [replace(g, trajectories=g.trajectories[::-1]) for g in groups[::-1]]
    whole = step(groups, 10**6)
    assert same(step(turned, 100), whole)


def test_values_and_rewards_at_tokens_of_the_environment_are_no_choice_of_the_policy(policy, groups) -> None:
    # the second token of every answer is declared the environment's: its log-prob is nothing, its reward is the
    # first token's, and its advantage and its part in the critic's loss are nothing
    def mark(t, logprob: float, at: int):
        roles, logprobs, rewards = t.roles.copy(), t.logprobs.copy(), t.rewards.copy()
        roles[1], logprobs[1] = Role.ENVIRONMENT, logprob
        rewards[at] += 0.5
        return replace(t, roles=roles, logprobs=logprobs, rewards=rewards)

    def marked(logprob: float, at: int) -> list[Group]:
        return [
            replace(g, trajectories=tuple(mark(t, logprob, at) for t in g.trajectories if len(t.tokens) > 2))
            for g in groups
        ]

    config = PPOConfig(epochs=1, minibatches=1)
    found = gradients(PPO(policy, config), marked(-50.0, 1))[0]
    assert torch.equal(found, gradients(PPO(policy, config), marked(0.0, 1))[0])
    assert same(found, gradients(PPO(policy, config), marked(0.0, 0))[0])
    agent = PPO(policy, config)
    batch = agent.prepare(agent.batch(marked(0.0, 1)))
    assert not agent.advantage(batch)[:, 1].any()
    assert not agent.weights(batch)[:, 1].any()


@pytest.mark.parametrize(("number", "value"), [("lam", 1.5), ("lam", float("nan")), ("clip", 0), ("value_weight", -1)])
def test_bad_numbers_are_named(number: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{number} is {value}"):
        PPOConfig(**{number: value})
