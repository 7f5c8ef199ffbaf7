"""DPPO measures the divergence that it claims to, and lets go of a token where it is too large."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reasonenv.agents.dppo import DPPO, DPPOConfig
from reasonenv.core import Batch
from reasonenv.learn.agent import Budget
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy import top_tokens
from reasonenv.policy.policy import Policy
from reasonenv.policy.top_tokens import likeliest, logprobs_of
from reasonenv.rollout.groups import sample_groups
from reasonenv.sampling import make_sampler
from reasonenv.testing import TabularPolicy, TinyMDP

MDP = TinyMDP(actions=4, horizon=2, reward=lambda r: float(r == (2, 1)))


def prepared(name: str, **numbers: int) -> tuple[DPPO, Batch]:
    policy = TabularPolicy(MDP, seed=1)
    with torch.no_grad():
        policy.theta[MDP.states[2,]] = 0.0  # after (2,) all four are as likely
    agent = DPPO(policy, DPPOConfig(divergence=name, **numbers))
    return agent, agent.prepare(agent.batch([MDP.group(policy, range(16))]))


@pytest.mark.parametrize("name", ["top_tv", "top_kl"])
def test_over_all_tokens_it_is_the_divergence_of_the_two_policies(name: str) -> None:
    agent, batch = prepared(name, top=20)  # more than there are
    before = agent.policy.theta.detach().log_softmax(dim=-1)
    with torch.no_grad():
        agent.policy.theta += torch.randn(agent.policy.theta.shape, generator=torch.Generator().manual_seed(0))
    after = agent.policy.theta.detach().log_softmax(dim=-1)
    exact = (
        (before.exp() - after.exp()).abs() / 2 if name == "top_tv" else before.exp() * (before - after)
    )  # [states, V]
    states = [[MDP.states[()], MDP.states[r[:1]]] for r in MDP.responses]
    found = agent.measure(agent.policy.states(batch), batch).divergence
    assert found is not None
    assert torch.allclose(found, exact.sum(dim=-1)[torch.tensor(states)], atol=1e-5)


@pytest.mark.parametrize("name", ["tv", "kl", "top_tv", "top_kl"])
def test_a_token_that_has_moved_too_far_is_let_go_and_others_are_not(name: str) -> None:
    # after (2,) the chances become e^2 / (e^2 + 3) = 0.711 for 1 and 0.096 for each other; elsewhere nothing moves
    agent, batch = prepared(name)
    with torch.no_grad():
        agent.policy.theta[MDP.states[2,], 1] += 2.0
    states = agent.policy.states(batch)
    logp, _ = agent.policy.logprobs(batch, states=states)
    logp = logp.detach().requires_grad_()
    micro = agent.measure(states, batch)

    def masked(advantage: float) -> list[tuple[int, ...]]:
        (slope,) = torch.autograd.grad(agent.surrogate(logp, micro, torch.full((16, 1), advantage)).sum(), logp)
        return [MDP.responses[row][: t + 1] for row, t in (slope == 0).nonzero().tolist()]

    assert masked(1.0) == [(2, 1)]  # what has become likelier is not pushed on
    # and what has become less likely not back: 0.154 are less than 0.2, but three times that is more, and so are
    # 1/4 log(0.25 / 0.096) + 3/4 log(0.75 / 0.904) = 0.099 than 0.05
    assert masked(-1.0) == ([] if name == "tv" else [(2, 0), (2, 2), (2, 3)])


def test_the_likeliest_tokens_of_a_model_are_found_in_parts(
    prior: Callable[[], Policy], sums: ReasoningMDP, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = prior()
    agent = DPPO(policy, DPPOConfig(divergence="top_tv", minibatches=2, top=5))
    groups = sample_groups(make_sampler("torch", policy), sums, range(4), 4, temperature=1.0, seed=(0,))
    batch = agent.batch(groups)

    def found(chunk: int, width: int) -> tuple[Tensor, Tensor]:
        monkeypatch.setattr(top_tokens, "chunk_elements", lambda device, chunk=chunk: chunk)
        return likeliest(policy, batch, count=5, tokens_per_microbatch=width, temperature=0.7)

    tokens, logp = found(10**9, 10**6)
    parts = found(3 * policy.tokenizer.vocab_size, 60)
    assert torch.equal(tokens, parts[0])
    assert torch.allclose(logp, parts[1], atol=1e-5)
    counts = batch.mask > 0
    own, _ = policy.score(batch, tokens_per_microbatch=10**6, temperature=0.7)
    assert torch.allclose(logp[..., 0][counts], own[counts], atol=1e-5)
    assert (tokens[..., 1:] != tokens[..., :1])[counts].all()  # the sampled token once
    assert (logp[..., 1:].diff(dim=-1) <= 0).all()
    assert torch.allclose(logprobs_of(policy, policy.states(batch), tokens, temperature=0.7), logp, atol=1e-5)
    assert agent.learn(groups, Budget(0, 1))["updates"] == 2
