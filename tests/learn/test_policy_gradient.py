"""Laws of `PolicyGradient.learn` on a real model: the gradient is a function of the samples and of nothing else."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from reasonenv.agents.grpo import GRPO, GRPOConfig
from reasonenv.agents.ppo import PPO, PPOConfig
from reasonenv.catalog import AGENTS, find_agent
from reasonenv.core import FAILURES, Batch, Group, Reason, Role
from reasonenv.learn.agent import Budget
from reasonenv.learn.observer import Observer
from reasonenv.learn.policy_gradient import PolicyGradient
from reasonenv.policy.microbatch import passed
from reasonenv.policy.policy import Policy
from reasonenv.testing import gradients, scored

GRADIENT = [name for name in AGENTS if issubclass(find_agent(name), PolicyGradient)]


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


def unknown(t, how: str):
    """The same sample with a reward or a verdict that says nothing."""
    if how == "nan":
        return replace(t, rewards=np.full_like(t.rewards, np.nan))
    return replace(t, verdict=replace(t.verdict, reason=Reason(how)))


@pytest.mark.parametrize("how", ["nan", *FAILURES])
def test_a_sample_of_which_nothing_is_known_is_in_no_loss_and_no_denominator(
    policy: Policy, groups: list[Group], how: str
) -> None:
    rows = groups[0].trajectories
    broken = [replace(groups[0], trajectories=(*rows[:3], unknown(rows[3], how))), groups[1]]
    whole = [replace(groups[0], trajectories=rows[:3]), groups[1]]
    for name in ("grpo", "reinforce", "maxrl", "gspo", "scalerl", "reinforce_pp", "dppo", "dapo", "ppo"):
        kind = find_agent(name)
        config = kind.Config(epochs=1, minibatches=1)
        found, expected = (gradients(kind(policy, config), samples)[0] for samples in (broken, whole))
        assert same(found, expected), name


def test_a_group_whose_only_wrong_answers_were_failures_is_not_mixed(policy: Policy, groups: list[Group]) -> None:
    right, wrong = groups[0].trajectories[:2], groups[0].trajectories[2:]
    lost = replace(groups[0], trajectories=(*right, *(unknown(t, "error") for t in wrong)))
    kind = find_agent("scalerl")
    assert gradients(kind(policy), [lost]) == ()
    assert kind(policy).learn([lost], Budget(0, 1))["groups/kept"] == 0


def test_the_learning_rate_warms_up_over_steps_and_across_a_restart(policy: Policy, groups: list[Group]) -> None:
    config = GRPOConfig(lr=1e-5, warmup=4, minibatches=2)
    first = GRPO(policy, config)
    assert first.learn(groups, Budget(0, 2))["lr"] == pytest.approx(0.5e-5)  # of the second step
    second = GRPO(policy, config)
    second.load_state_dict({name: tensor.clone() for name, tensor in first.state_dict().items()})
    assert [second.learn(groups, Budget(i, 9))["lr"] for i in (1, 2)] == pytest.approx([1e-5, 1e-5])


def test_the_age_of_samples_is_told_as_a_mean_over_tokens(policy: Policy, groups: list[Group]) -> None:
    # today's version is 5; of every answer of the first group the first token was drawn by version 2, the rest by 4
    def aged(t):
        versions = np.full(len(t.tokens), 4)
        versions[0] = 2
        return replace(t, versions=versions)

    def fresh(t):
        return replace(t, versions=np.full(len(t.tokens), 5))

    samples = [replace(groups[0], trajectories=tuple(map(aged, groups[0].trajectories)))]
    samples += [replace(g, trajectories=tuple(map(fresh, g.trajectories))) for g in groups[1:]]
    old, young = (sum(len(t.tokens) for g in some for t in g.trajectories) for some in (groups[:1], groups[1:]))
    expected = (4 * 3 + (old - 4) * 1) / (old + young)
    found = GRPO(policy, GRPOConfig(lr=1e-5, epochs=2)).learn(samples, Budget(5, 9))
    assert found["staleness"] == pytest.approx(expected)
    assert (found["epochs"], found["minibatches"]) == (2.0, 1.0)


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_refused_counted_and_shown(
    policy: Policy, groups: list[Group], broken: str
) -> None:
    class Broken(GRPO):
        def surrogate(self, logp, micro, advantage):
            loss = super().surrogate(logp, micro, advantage)
            return loss - torch.inf if broken == "loss" else (logp * 0).sqrt() + loss

    agent = Broken(policy, GRPOConfig(lr=1e-5, epochs=2))
    before = {name: tensor.clone() for name, tensor in agent.state_dict().items()}
    shown: list[Batch] = []

    class Watching(Observer):
        def skipped_step(self, batch: Batch) -> None:
            shown.append(batch)

    found = agent.learn(groups, Budget(0, 1), Watching())
    assert (found["updates"], found["updates/refused"], len(shown)) == (0, 2, 2)
    assert len(shown[0].mask) == 12
    after = agent.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("name", ["scalerl", "dppo", "gspo", "reinforce_pp_baseline", "rloo"])
def test_the_gradient_of_every_kind_of_weights_is_free_of_the_cut(
    policy: Policy, groups: list[Group], name: str
) -> None:
    kind = find_agent(name)
    turned = [replace(g, trajectories=g.trajectories[::-1]) for g in groups[::-1]]
    (small,) = gradients(kind(policy, kind.Config(tokens_per_microbatch=100)), turned)
    (large,) = gradients(kind(policy, kind.Config(tokens_per_microbatch=10**6)), groups)
    assert same(small, large)


@pytest.mark.parametrize("name", GRADIENT)
def test_an_agent_corrects_for_stale_samples_if_and_only_if_it_is_anchored_on_the_sampler(
    policy: Policy, groups: list[Group], name: str
) -> None:
    # a sampler that gave every token 10 % more: rho = 1 / 1.1
    def shift(t):
        return replace(t, logprobs=t.logprobs + np.float32(np.log(1.1)))

    moved = [replace(g, trajectories=tuple(map(shift, g.trajectories))) for g in groups]
    kind = find_agent(name)
    config = kind.Config(epochs=1, minibatches=1, **({"beta": 0.0} if hasattr(kind.Config, "beta") else {}))
    (found,), (expected,) = (gradients(kind(policy, config), samples) for samples in (moved, groups))
    assert same(found * (1.1 if name in ("dppo", "scalerl") else 1.0), expected)


def test_the_useful_share_of_tokens_is_told(policy: Policy, groups: list[Group]) -> None:
    # every prompt is read once for its four answers, and nothing is padded
    rows = [t for g in groups for t in g.trajectories]
    written, read = sum(len(t.tokens) for t in rows), sum(len(g.trajectories[0].prompt) for g in groups)
    found = GRPO(policy, GRPOConfig(lr=1e-5)).learn(groups, Budget(0, 1))
    assert found["tokens/useful"] == pytest.approx(written / (written + read))


def test_rows_without_advantage_pass_without_gradient_and_do_not_size_memory(
    policy: Policy, groups: list[Group]
) -> None:
    agent = GRPO(policy, GRPOConfig(beta=0.0))
    batch = agent.batch(groups)
    advantage = torch.zeros(len(batch.group), 1)
    advantage[0] = 1.0
    found = agent.passes(batch, advantage)
    assert [rows.tolist() for rows, teaches in found if teaches] == [[0]]
    assert sorted(int(row) for rows, _ in found for row in rows) == list(range(len(batch.group)))
    assert agent.largest == (1, passed(batch.select(torch.tensor([0]))))
    held = GRPO(policy, GRPOConfig(beta=0.1))  # the KL teaches where the reward does not
    assert all(teaches for _, teaches in held.passes(batch, advantage))


def test_a_wrapper_put_on_an_agent_switches_the_skipping_off(policy: Policy, groups: list[Group]) -> None:
    agent = GRPO(policy, GRPOConfig(beta=0.0))
    batch, zero = agent.batch(groups), torch.zeros(12, 1)
    assert not any(teaches for _, teaches in agent.passes(batch, zero))
    agent.auxiliary = lambda states, micro: torch.ones_like(micro.mask)  # type: ignore[method-assign]
    assert all(teaches for _, teaches in agent.passes(batch, zero))


def test_ppo_with_an_entropy_bonus_has_the_gradient_of_autograd_on_full_logits(
    policy: Policy, groups: list[Group]
) -> None:
    # 1707.06347, equation 9: J = surrogate - c1 value loss + c2 H; at the first step the value loss is (0 - R)^2 / 2
    class Bonus(PPO):
        def auxiliary(self, states, micro):
            return super().auxiliary(states, micro) - 0.05 * micro.entropy

    agent = Bonus(policy, PPOConfig(beta=0.0, epochs=1, minibatches=1, tokens_per_microbatch=150))
    batch = agent.prepare(agent.batch(groups))
    advantage, mask = agent.advantage(batch), batch.mask.double()
    (found,) = gradients(agent, groups)
    model = policy.model.double()
    left = batch.tokens.shape[1] - batch.width
    loss = torch.zeros((), dtype=torch.float64)
    for row, prompt, length in zip(range(12), batch.prompt_length.tolist(), batch.length.tolist(), strict=True):
        ids = batch.tokens[row, left - prompt : left + length]
        table = model(ids[None]).logits[0, prompt - 1 : -1].log_softmax(-1)  # [t, V]
        logp = table.gather(1, ids[prompt:, None])[:, 0]
        entropy = -(table.exp() * table).sum(-1)
        loss -= (advantage[row, :length] * logp + 0.05 * entropy).sum() / mask.sum()
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, policy.parameters())])
    policy.model.float()
    assert same(found[: len(expected)].double(), expected)  # what follows is the critic's head, at 0: no trunk feels it


def test_what_an_agent_logs_is_a_mean_over_tokens_however_the_batch_is_cut(policy: Policy, groups: list[Group]) -> None:
    class Watching(GRPO):
        def surrogate(self, logp, micro, advantage):
            self.log({"seen/first": (torch.arange(micro.width) == 0).float().expand_as(logp)})
            return super().surrogate(logp, micro, advantage)

    tokens = sum(len(t.tokens) for g in groups for t in g.trajectories)
    for size in (1, 10**6):
        agent = Watching(policy, GRPOConfig(lr=1e-9, tokens_per_microbatch=size))
        assert agent.learn(groups, Budget(0, 1))["seen/first"] == pytest.approx(12 / tokens)


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        *((name, {"clip/low", "clip/high"}) for name in ("grpo", "dapo", "dr_grpo", "gspo", "maxrl", "reinforce_pp")),
        *((name, {"cap/fraction"}) for name in ("cispo", "scalerl")),
        ("dppo", {"mask/fraction"}),
        ("ppo", {"clip/low", "clip/high", "clip/value"}),
    ],
)
def test_an_agent_logs_how_many_tokens_its_trust_region_touches(
    policy: Policy, groups: list[Group], name: str, metrics: set[str]
) -> None:
    kind = find_agent(name)
    narrow = {"clip": 1e-6, "clip_low": 1e-6, "clip_high": 1e-6, "cap": 1.0, "limit": 1e-9}
    known = {f.name for f in fields(kind.Config)}
    numbers = {key: value for key, value in narrow.items() if key in known}
    off_policy = kind(policy, kind.Config(lr=1e-3, epochs=4, minibatches=1, **numbers))
    found = off_policy.learn(groups, Budget(0, 1))
    assert all(0 <= found[metric] <= 1 for metric in metrics)
    assert sum(found[metric] for metric in metrics) > 0.01  # later steps have left a region so narrow
