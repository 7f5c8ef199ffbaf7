"""However a batch is cut, and whether or not rows share their prompt: one gradient, for every kind of policy."""

from __future__ import annotations

import pytest
import torch

from reasonenv.agents.grpo import GRPO, GRPOConfig
from reasonenv.agents.ppo import PPO, PPOConfig
from reasonenv.core import Group
from reasonenv.learn.agent import Agent
from reasonenv.policy.checkpointing import checkpoint_layers
from reasonenv.policy.lora import add_adapter
from reasonenv.policy.policy import Policy
from reasonenv.testing import gradients


def agent_of(policy: Policy, critic: str, tokens: int) -> Agent:
    if critic == "none":
        return GRPO(policy, GRPOConfig(tokens_per_microbatch=tokens))
    config = PPOConfig(
        epochs=1, minibatches=1, beta=0.0, separate_critic=critic == "separate", tokens_per_microbatch=tokens
    )
    agent = PPO(policy, config)
    torch.nn.init.constant_(agent.critic.head.weight, 0.02)  # from 0 it would teach the trunk nothing
    return agent


@pytest.mark.parametrize("critic", ["none", "shared", "separate"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("lora", [False, True])
def test_the_gradient_is_the_same_for_every_cut(
    policy: Policy, groups: list[Group], lora: bool, checkpointing: bool, critic: str
) -> None:
    if lora:
        pytest.importorskip("peft")
        add_adapter(policy, 4, seed=0)
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, tensor in policy.state_dict().items():
                if ".lora_B." in name:
                    tensor.normal_(std=0.02, generator=draw)
    if checkpointing:
        checkpoint_layers(policy)
    (whole,) = gradients(agent_of(policy, critic, 10**6), groups)
    assert whole.norm() > 0
    cut = [gradients(agent_of(policy, critic, tokens), groups)[0] for tokens in (1, 150)]  # 1: every row alone
    policy.shared = False
    apart, cut_apart = (gradients(agent_of(policy, critic, tokens), groups)[0] for tokens in (10**6, 150))
    for other in (*cut, apart, cut_apart):
        assert (other - whole).norm() < 1e-5 * whole.norm()
