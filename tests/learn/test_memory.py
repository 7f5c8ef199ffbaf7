"""Running out of memory: the number to lower, and to what."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from reasonenv.agents.grpo import GRPO, GRPOConfig
from reasonenv.core import Group
from reasonenv.errors import UserError
from reasonenv.learn.agent import Budget
from reasonenv.learn.memory import activation_bytes, enough_memory, forecast
from reasonenv.policy.policy import Policy


def told(error: Exception, largest: tuple[int, int]) -> str:
    agent = SimpleNamespace(largest=largest, config=SimpleNamespace(tokens_per_microbatch=8192))
    with pytest.raises(UserError) as caught, enough_memory(agent):  # type: ignore[arg-type]
        raise error
    return str(caught.value)


def test_the_number_to_lower_is_named_with_half_of_what_was_too_much() -> None:
    # 8 rows of 500 tokens in all were too many, though 8,192 tokens were allowed
    message = told(torch.OutOfMemoryError("CUDA out of memory"), (8, 4000))
    assert "4000 tokens; set tokens_per_microbatch=2000 (it is 8192)" in message


def test_what_cannot_be_cut_says_what_else_helps() -> None:
    message = told(torch.OutOfMemoryError("CUDA out of memory"), (1, 900))
    assert "cannot be cut; set checkpointing=true" in message


def test_the_cpu_really_runs_out_and_other_errors_pass() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)  # what torch says on a CPU
    assert "set tokens_per_microbatch=1000" in told(caught.value, (4, 2000))
    agent = SimpleNamespace()
    with pytest.raises(RuntimeError, match="shapes"), enough_memory(agent):  # type: ignore[arg-type]
        raise RuntimeError("shapes do not match")


def test_an_agent_says_how_large_its_micro_batches_were(policy: Policy, groups: list[Group]) -> None:
    agent = GRPO(policy, GRPOConfig(tokens_per_microbatch=300))
    agent.learn(groups, Budget(0, 1))
    assert agent.largest is not None
    rows, tokens = agent.largest
    assert tokens <= 300 or rows == 1


def test_activations_grow_with_the_tokens_and_a_forecast_adds_up(policy: Policy, groups: list[Group]) -> None:
    # 0.47 M float32 weights: a gradient of 4 bytes and two moments of 4 each; no masters beside them
    batch = GRPO(policy).batch(groups)
    per_token = activation_bytes(policy, batch)
    # each of 2 layers keeps at least its input, its normed input, q, k, v, the attention's output and the three of the
    # MLP: 6 * 128 + 3 * 352 floats
    assert per_token > 2 * 4 * (6 * 128 + 3 * 352)
    found = forecast(policy, per_token=per_token, tokens=1000, rows=8, length=100)
    count = sum(p.numel() for p in policy.parameters())
    assert (found.gradients, found.optimizer) == (4 * count, 8 * count)
    assert found.cache == 2 * 2 * 128 * 8 * 100 * 4  # keys and values, layers, hidden, rows, length, bytes
    more = forecast(policy, per_token=per_token, tokens=2000, rows=8, length=100)
    # and three times 257 logits a token, as long as they are fewer than a chunk
    assert more.activations - found.activations == pytest.approx(1000 * (per_token + 3 * 257 * 4), abs=1)
