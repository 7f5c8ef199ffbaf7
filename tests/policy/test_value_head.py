"""Critic and reward model: the number of each state knows nothing of padding and of other rows."""

from __future__ import annotations

import pytest
import torch

from reasonenv.core import TokenBatch
from reasonenv.policy.policy import Policy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.policy.value_head import Critic, Scorer

# Three samples of one prompt, long enough to be shared; one of another, which ends in EOS.
ROWS = [([4, 7, 7, 7], [2, 3, 5]), ([4, 7, 7, 7], [9]), ([4, 7, 7, 7], [2, 8]), ([20, 21], [22, 256])]


def batch_of(rows: list[tuple[list[int], list[int]]], spare: int = 0) -> TokenBatch:
    left, width = max(len(p) for p, _ in rows) + spare, max(len(r) for _, r in rows) + spare
    tokens, mask = torch.zeros(len(rows), left + width, dtype=torch.int64), torch.zeros(len(rows), width)
    for i, (prompt, response) in enumerate(rows):
        tokens[i, left - len(prompt) : left + len(response)] = torch.tensor(prompt + response)
        mask[i, : len(response)] = 1
    lengths = torch.tensor([len(p) for p, _ in rows]), torch.tensor([len(r) for _, r in rows])
    return TokenBatch(tokens, *lengths, mask)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return tiny_policy(3)


def awake(policy: Policy, *, separate: bool = False) -> Critic:
    """A critic whose head has left zero."""
    critic = Critic(policy, separate=separate)
    torch.nn.init.normal_(critic.head.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    return critic


def test_it_begins_at_zero_and_hears_of_every_state(policy: Policy) -> None:
    values, last = Critic(policy, separate=False).values(batch_of(ROWS))
    assert values.shape == (4, 3)
    assert last.shape == (4,)
    assert not values.any()
    assert not last.any()


@pytest.mark.parametrize("separate", [False, True])
def test_values_are_those_of_each_row_alone(policy: Policy, separate: bool) -> None:
    critic = awake(policy, separate=separate)
    values, last = critic.values(batch_of(ROWS))
    assert not values[1, 1:].any()
    for i, (prompt, response) in enumerate(ROWS):
        hidden = policy.model.get_decoder()(torch.tensor([prompt + response])).last_hidden_state[0]
        every = critic.head(hidden)[len(prompt) - 1 :, 0]  # of the T + 1 states
        torch.testing.assert_close(values[i, : len(response)], every[:-1], rtol=0, atol=2e-5)
        torch.testing.assert_close(last[i], every[-1], rtol=0, atol=2e-5)


@pytest.mark.parametrize("tokens", [1, 10**6])
def test_a_reward_model_reads_the_state_after_each_token_of_each_row_alone(policy: Policy, tokens: int) -> None:
    scorer = Scorer(policy.trainable_copy())
    torch.nn.init.normal_(scorer.head.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(scorer.head.bias, 0.3)
    logits, scores = scorer.logits(batch_of(ROWS)), scorer.scores(batch_of(ROWS), tokens_per_microbatch=tokens)
    for i, (prompt, response) in enumerate(ROWS):
        hidden = policy.model.get_decoder()(torch.tensor([prompt + response])).last_hidden_state[0]
        alone = scorer.head(hidden)[len(prompt) :, 0]
        torch.testing.assert_close(logits[i, : len(response)], alone, rtol=0, atol=2e-5)
        torch.testing.assert_close(scores[i, : len(response)], alone.sigmoid().detach(), rtol=0, atol=2e-5)
        assert not logits[i, len(response) :].any()


@pytest.mark.parametrize("tokens", [1, 10**6])
def test_scores_depend_neither_on_micro_batches_nor_on_padding_nor_on_order(policy: Policy, tokens: int) -> None:
    critic = awake(policy)
    want, want_last = critic.values(batch_of(ROWS))
    values, last = critic.score(batch_of(ROWS[::-1], spare=2), tokens_per_microbatch=tokens)
    torch.testing.assert_close(values.flip(0)[:, :3], want.detach(), rtol=0, atol=2e-5)
    torch.testing.assert_close(last.flip(0), want_last.detach(), rtol=0, atol=2e-5)
    assert not values.requires_grad


def test_a_shared_trunk_is_shaped_by_the_values_and_a_separate_one_keeps_the_policy_out_of_it(policy: Policy) -> None:
    batch = batch_of(ROWS)
    for separate in (False, True):
        critic = awake(policy, separate=separate)
        critic.values(batch, policy.states(batch))[0].sum().backward()
        touched = any(p.grad is not None for p in policy.parameters())
        assert touched == (not separate)
        assert all(p.grad is not None for p in critic.head.parameters())
        own = critic.parameters()[1:]
        assert len(own) == (len(policy.parameters()) if separate else 0)
        assert separate == any(p.grad is not None for p in own)
        policy.model.zero_grad(set_to_none=True)


@pytest.mark.parametrize("separate", [False, True])
def test_a_restored_critic_says_the_same(policy: Policy, separate: bool) -> None:
    critic, other = awake(policy, separate=separate), Critic(policy, separate=separate)
    if critic.trunk is not None:
        with torch.no_grad():
            critic.trunk.parameters()[0].add_(0.1)
    other.load_state_dict({name: tensor.clone() for name, tensor in critic.state_dict().items()})
    batch = batch_of(ROWS)
    for a, b in zip(critic.values(batch), other.values(batch), strict=True):
        assert torch.equal(a, b)
