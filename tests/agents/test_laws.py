"""`check_agent` on every registered agent, and on one broken agent for each law."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reasonenv.agents.best_of_n import BestOfN
from reasonenv.agents.cispo import CISPO
from reasonenv.agents.dr_grpo import DrGRPO
from reasonenv.agents.grpo import GRPO
from reasonenv.agents.ppo import PPO
from reasonenv.agents.reinforce import Reinforce
from reasonenv.catalog import AGENTS, find_agent
from reasonenv.core import Batch, Group
from reasonenv.errors import UserError
from reasonenv.learn.agent import Budget, Metrics
from reasonenv.learn.losses import k3, likelihood
from reasonenv.learn.observer import SILENT, Observer
from reasonenv.learn.policy_gradient import PolicyGradient
from reasonenv.learn.weights import sequence_mean, token_mean
from reasonenv.policy.collate import collate
from reasonenv.policy.policy import ResponseStates
from reasonenv.testing import LawBroken, TabularPolicy, TinyMDP, check_agent, gradients
from reasonenv.testing.laws import LAWS, SHORT

# A reward model trains no policy, fixed agents train nothing, and goals are texts, which symbols have not.
TRAINED = sorted({*AGENTS} - {"orm", "rcrl", "random_tokens", "majority", "best_of_k", "searched"})
BOTH = {"shift", "scale"}
INVARIANT = {
    "grpo": BOTH, "grpo_process": BOTH, "dapo": BOTH, "cispo": BOTH, "gspo": BOTH, "scalerl": BOTH,
    "reinforce_pp": BOTH, "reinforce_pp_baseline": BOTH,
    "dr_grpo": {"shift"}, "dppo": {"shift"}, "rloo": {"shift"}, "tree": {"shift"}, "tailrl": {"shift"},
}  # fmt: skip


def expected_reward(factor: float) -> Any:
    return lambda process, policy: factor * process.value(policy)


def log_success(process: TinyMDP, policy: TabularPolicy) -> Tensor:
    """log p up to its second term, for answers of two tokens that are averaged."""
    failure = 1 - process.value(policy)
    return -(failure + failure**2 / 2) / 2


# a baseline that holds the sample itself costs (G - 1) / G = 2/3; 256 is the default divisor
OBJECTIVE = {
    "reinforce": expected_reward(1.0),
    "rloo": expected_reward(1.0),
    "tree": expected_reward(1.0),
    "dr_grpo": expected_reward(2 / 3 / 256),
    "dppo": expected_reward(2 / 3 / 256),
    "maxrl": log_success,
    "tailrl": log_success,
}
EVEN = TinyMDP(actions=2, horizon=2, reward=lambda r: float(r == (1, 0)))  # all answers of one length
REWARDS = {
    "equal_rewards", "single_sample", "shift", "scale", "padding", "nan_reward", "skipping", "on_policy", "uphill",
}  # fmt: skip


@pytest.mark.parametrize("name", TRAINED)
def test_every_agent_obeys_its_laws(name: str) -> None:
    kind = find_agent(name)
    claims, objective = INVARIANT.get(name, set()), OBJECTIVE.get(name)
    process = {"process": EVEN} if objective is log_success else {}
    report = check_agent(kind, invariant=claims, objective=objective, **process)
    if issubclass(kind, PolicyGradient):
        baseless = {"equal_rewards", "single_sample"} if kind.Config.least_samples == 1 else set()
        assert set(report.skipped) == BOTH - claims | baseless | (set() if objective else {"objective"})
    else:
        assert REWARDS <= set(report.skipped) <= set(LAWS) - {"state", "resume"}


class Singleton(GRPO):  # a group of one keeps its raw reward
    def advantage(self, batch: Batch) -> Tensor:
        counts = (batch.group[:, None] == batch.group).sum(dim=1)
        return torch.where(counts == 1, batch.rewards.sum(dim=1), super().advantage(batch)[:, 0])[:, None]


class RoundOff(GRPO):  # divides by a std that is only rounding
    def advantage(self, batch: Batch) -> Tensor:
        r = batch.rewards.sum(dim=1)
        found = torch.zeros_like(r)
        for label in batch.group.unique():
            own = (batch.group == label) & r.isfinite()
            if own.sum() > 1:
                found[own] = (r[own] - r[own].mean()) / (r[own].std() + 1e-9)
        return found[:, None]


class PerMicroBatch(GRPO):  # averages over whatever passes the model at once
    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return super().surrogate(logp, micro, advantage) / micro.mask.sum()


class FirstComes(GRPO):  # the first row is everybody's baseline
    def advantage(self, batch: Batch) -> Tensor:
        return super().advantage(batch) + batch.rewards[0].nansum()


class PaddedWidth(GRPO):  # divides by the width of the tensor
    def weights(self, batch: Batch) -> Tensor:
        return batch.mask / batch.mask.shape[1] / (batch.mask.sum(dim=1) > 0).sum()


class CountsTheLost(GRPO):  # what is not a number is a zero
    def learn(self, groups: Sequence[Group], budget: Budget) -> Metrics:
        rows = [[replace(t, rewards=np.nan_to_num(t.rewards)) for t in g.trajectories] for g in groups]
        return super().learn([replace(g, trajectories=tuple(r)) for g, r in zip(groups, rows, strict=True)], budget)


class TrainsOnAll(GRPO):  # whoever wrote the token
    def weights(self, batch: Batch) -> Tensor:
        inside = torch.arange(batch.width) < batch.length[:, None]
        return token_mean(inside * batch.mask[:, :1])


class FalseDeclaration(DrGRPO):  # says that its loss is proportional to the advantage, and it is not
    loss_scales_with_advantage = True

    def auxiliary(self, states: ResponseStates, micro: Batch) -> Tensor:
        assert micro.entropy is not None
        return -0.1 * micro.entropy


class OtherGradient(GRPO):  # pi in place of log pi
    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return -advantage * logp.exp()


class Unaware(GRPO):  # takes whatever it gets for draws
    def batch(self, groups: Sequence[Group]) -> Batch:
        return collate(groups, pad=self.policy.tokenizer.eos_id)


class ForgetsMoments(GRPO):  # a new optimiser after every restart
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        super().load_state_dict(state)
        self.optimizer = self.new_optimizer()


class Impatient(GRPO):  # remembers what no state holds
    seen = 0

    def advantage(self, batch: Batch) -> Tensor:
        self.seen += 1
        return super().advantage(batch) * self.seen


class Downhill(GRPO):
    def advantage(self, batch: Batch) -> Tensor:
        return -super().advantage(batch)


class Crash(GRPO):
    def weights(self, batch: Batch) -> Tensor:
        raise IndexError("no such thing")


class EntropyBonus(PPO):  # the exploration bonus of 1707.06347, equation 9
    def auxiliary(self, states: ResponseStates, micro: Batch) -> Tensor:
        assert micro.entropy is not None
        return super().auxiliary(states, micro) - 0.01 * micro.entropy


class Entropic(DrGRPO):
    def auxiliary(self, states: ResponseStates, micro: Batch) -> Tensor:
        assert micro.entropy is not None
        return -0.1 * micro.entropy


class EntropicSurrogate(DrGRPO):
    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        assert micro.entropy is not None
        return super().surrogate(logp, micro, advantage) - 0.1 * micro.entropy


class Imitating(GRPO):  # a supervised loss beside the reward's
    def auxiliary(self, states: ResponseStates, micro: Batch) -> Tensor:
        return 0.1 * likelihood(self.policy.logprobs(micro, states=states)[0])


class HeldToUniform(DrGRPO):  # a KL to something else than the reference
    def auxiliary(self, states: ResponseStates, micro: Batch) -> Tensor:
        logp, _ = self.policy.logprobs(micro, states=states)
        return 0.1 * k3(logp, torch.full_like(logp, -math.log(3)))


class Bonus(PolicyGradient):
    def auxiliary(self, states: ResponseStates, micro: Batch) -> Tensor:
        assert micro.entropy is not None
        return -0.1 * micro.entropy


class MixedIn(Bonus, Reinforce):  # the slot comes from one parent, the declaration from the other
    Config = Reinforce.Config


class MixedInLast(DrGRPO, Bonus):  # and the other way round: nothing else has the slot
    pass


class Beside(DrGRPO):
    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return super().surrogate(logp, micro, advantage) + 0.1 * logp


class Declares(DrGRPO):
    loss_scales_with_advantage = True

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return 2 * super().surrogate(logp, micro, advantage)


class Diamond(Declares, Beside):  # what `super` is to the one that declares, it is not here
    pass


class OtherHelper(CISPO):  # the surrogate stays, what it calls does not
    def capped(self, logp: Tensor, *, anchor: Tensor, advantage: Tensor) -> Tensor:
        return super().capped(logp, anchor=anchor, advantage=advantage) + 0.1 * logp


OF_USERS = [
    *(EntropyBonus, Entropic, EntropicSurrogate, Imitating, HeldToUniform),
    *(MixedIn, MixedInLast, Diamond, OtherHelper),
]
LIKELY = TinyMDP(actions=2, horizon=1, reward=lambda r: float(r == (1,)))  # ten groups of three are all there are


@pytest.mark.parametrize(
    ("law", "mutant", "claims"),
    [
        ("equal_rewards", RoundOff, {}),
        ("single_sample", Singleton, {}),
        ("shift", Reinforce, {"invariant": ["shift"]}),
        ("scale", DrGRPO, {"invariant": ["scale"]}),
        ("micro_batches", PerMicroBatch, {}),
        ("order", FirstComes, {}),
        ("padding", PaddedWidth, {}),
        ("nan_reward", CountsTheLost, {}),
        ("environment", TrainsOnAll, {}),
        ("skipping", FalseDeclaration, {}),
        ("on_policy", OtherGradient, {}),
        ("selected", Unaware, {}),
        ("state", ForgetsMoments, {}),
        ("resume", Impatient, {}),
        ("uphill", Downhill, {}),
        ("objective", GRPO, {"objective": expected_reward(1.0)}),
    ],
)
def test_every_law_catches_its_own_broken_agent(law: str, mutant: type[GRPO], claims: dict[str, Any]) -> None:
    with pytest.raises(LawBroken) as caught:
        check_agent(mutant, process=LIKELY, **claims)
    report = caught.value.report
    assert law in report.broken
    told = next(line for line in str(caught.value).splitlines() if f" {law} " in line)
    assert "BROKEN" in told
    assert LAWS[law][0] in told  # in words
    assert f"limit {LAWS[law][1]:g}" in told  # and by how much
    # a law is blamed for nothing but what it says; three of the mutants break more than one
    also = {
        "micro_batches": {"on_policy"},
        "order": {"equal_rewards", "single_sample"},
        "state": {"resume"},
    }
    assert set(report.broken) <= {law} | also.get(law, set())


def test_every_law_has_a_broken_agent() -> None:
    (marks,) = test_every_law_catches_its_own_broken_agent.pytestmark
    assert [law for law, *_ in marks.args[1]] == list(LAWS)


@pytest.mark.parametrize("kind", OF_USERS)
def test_a_loss_of_a_users_own_loses_no_row(kind: type[PolicyGradient]) -> None:
    try:
        report = check_agent(kind)
    except LawBroken as broken:
        report = broken.report
    finding = next(finding for finding in report.findings if finding.law == "skipping")
    assert finding.error is not None
    assert not finding.broken


@pytest.mark.parametrize("kind", [EntropyBonus, Entropic])
def test_a_loss_beside_the_surrogate_breaks_no_law_of_the_surrogate(kind: type[PolicyGradient]) -> None:
    check_agent(kind)


def test_what_is_skipped_is_declared_and_the_gradient_is_that_of_the_whole_batch() -> None:
    # a group of three right answers, whose advantage is 0, beside a mixed one
    process = TinyMDP(actions=3, horizon=3, reward=lambda response: float(sum(response) % 2), stops=True)
    rewards = process.rewards.tolist()
    policy = TabularPolicy(process, seed=1)
    right = [number for number, reward in enumerate(rewards) if reward][:3]
    groups = [process.group(policy, [right[0], rewards.index(0.0)]), process.group(policy, right)]
    agent = Imitating(policy, Imitating.Config(beta=0.0))
    (found,) = gradients(agent, groups)
    # the whole batch at once by autograd: -1/B sum_i 1/|o_i| sum_t (A_i + 0.1) log pi
    batch = agent.batch(groups)
    logp, _ = policy.logprobs(batch)
    loss = -(sequence_mean(batch.mask) * (agent.advantage(batch) + 0.1) * logp).sum()
    (expected,) = torch.autograd.grad(loss, policy.theta)
    torch.testing.assert_close(found, expected.flatten(), rtol=1e-5, atol=1e-8)
    assert float(found.norm()) == pytest.approx(0.165072, abs=5e-7)


def test_a_declaration_holds_where_no_slot_of_the_loss_has_changed() -> None:
    class OtherAdvantage(DrGRPO):
        def advantage(self, batch: Batch) -> Tensor:
            return 2 * super().advantage(batch)

    policy = TabularPolicy(SHORT, seed=1)
    batch = collate([SHORT.group(policy, [0, 1])], pad=policy.tokenizer.eos_id)
    nothing = torch.zeros(2, 1)
    for kind in (DrGRPO, OtherAdvantage, Declares, CISPO):
        assert [teaches for _, teaches in kind(policy).passes(batch, nothing)] == [False]
    agent = OtherAdvantage(policy)
    agent.surrogate = EntropicSurrogate.surrogate.__get__(agent)  # type: ignore[method-assign]
    assert [teaches for _, teaches in agent.passes(batch, nothing)] == [True]


def test_an_agent_that_raises_is_told_with_the_laws_it_was_asked() -> None:
    with pytest.raises(LawBroken, match=r"BROKEN +order .*inf .* IndexError: no such thing"):
        check_agent(Crash, process=LIKELY)


def test_a_claim_is_one_of_two() -> None:
    with pytest.raises(UserError, match="unknown claim 'shifts'; did you mean shift"):
        check_agent(GRPO, invariant=["shifts"])


class Replay(BestOfN):  # learns from what came first as well
    first: tuple[Group, ...] = ()

    def learn(self, groups: Sequence[Group], budget: Budget, observer: Observer = SILENT) -> Metrics:
        self.first = self.first or tuple(groups[:1])
        return super().learn([*self.first, *groups], budget, observer)


def test_a_law_that_is_none_of_an_agent_can_be_excepted() -> None:
    with pytest.raises(LawBroken) as caught:
        check_agent(Replay)
    assert "order" in caught.value.report.broken
    excepted = caught.value.report.broken
    report = check_agent(Replay, except_laws=excepted)
    assert set(excepted) <= set(report.skipped)
    assert "skipped  order" in str(report)
    assert "excepted" in str(report)
    with pytest.raises(UserError, match="unknown law 'ordre'; did you mean order"):
        check_agent(Replay, except_laws=["ordre"])
