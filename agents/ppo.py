"""Proximal Policy Optimization on the token-level process: a critic says what each state was worth before the choice.

    J = E_t[ min(r A, clip(r, 1 - eps, 1 + eps) A) ] - c E_t[ max((V - R)^2, (clip(V, V_old -+ eps) - R)^2) / 2 ]
    A_t = delta_t + lam A_(t+1),    delta_t = R_t + V_(t+1) - V_t,    R_t = reward_t - beta log(pi_old / ref)_t

A is standardised over the tokens of the batch, the return R is A + V before that; gamma = 1. Behind the last token
V = 0, whether the answer ended or was cut off at its budget: the budget is a part of the task, and a cut answer is
worth 0 to every other agent (verl and TRL do the same). With `bootstrap_truncated` a cut answer goes on with the V of
the state that it was cut in (time limits that are no part of the task, 1712.00378); nothing is chosen in such a state,
so the critic knows it by its likeness to others only.

Source: 1707.06347, equations 7, 9 and 11; GAE, 1506.02438; the KL in the reward, 1909.08593. Differences: the value is
clipped as in the authors' code, with the eps of the ratio; no entropy bonus.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from reasonenv.core import Batch
from reasonenv.learn.advantages import gae, whiten
from reasonenv.learn.agent import Metrics
from reasonenv.learn.losses import clipped_value, value_clipped
from reasonenv.learn.policy_gradient import ReferenceConfig, Referenced
from reasonenv.learn.weights import token_mean
from reasonenv.policy.policy import Policy, ResponseStates, prefixed, under
from reasonenv.policy.value_head import Critic
from reasonenv.settings import record, setting


@record
class PPOConfig(ReferenceConfig):
    """What is usual for language models, where the paper was about robots and games."""

    samples_per_problem: int = setting(4, "G: samples a problem; the critic needs no siblings")
    epochs: int = setting(4, "passes over the samples of an iteration (paper: 3 to 15)")
    minibatches: int = setting(4, "optimiser steps a pass")
    beta: float = setting(0.05, "beta: weight of the KL to the initial policy in the reward; 0: no reference model")
    clip: float = setting(0.2, "eps: how far the ratio leaves 1, and the value its old one (paper: 0.2)", gt=0)
    lam: float = setting(0.95, "lambda of GAE: 1 trusts the rewards, 0 the critic (paper: 0.95)", ge=0, le=1)
    value_weight: float = setting(0.1, "c: weight of the critic's loss, felt by a shared trunk too (paper: 1)", gt=0)
    separate_critic: bool = setting(False, "the critic has a copy of the trunk for itself")
    bootstrap_truncated: bool = setting(False, "a cut answer is worth V of its last state, not 0 (verl, TRL: 0)")


class PPO(Referenced):
    """Clipped policy gradient against a learned critic, advantages by GAE, KL in the reward. 1707.06347."""

    Config = PPOConfig
    config: PPOConfig

    def __init__(self, policy: Policy, config: PPOConfig | None = None, *, seed: int = 0) -> None:
        chosen = config or self.Config()
        self.critic = Critic(policy, separate=chosen.separate_critic)
        super().__init__(policy, chosen, seed=seed)

    def parameters(self) -> list[nn.Parameter]:
        return [*super().parameters(), *self.critic.parameters()]

    def prepare(self, batch: Batch) -> Batch:
        batch = super().prepare(batch)
        c = self.config
        values, last = self.critic.score(batch, tokens_per_microbatch=c.tokens_per_microbatch)
        advantage = gae(
            self.penalised(batch),
            values,
            bootstrap=last if c.bootstrap_truncated else torch.zeros_like(last),
            discount=batch.discount,
            mask=batch.mask,
            gamma=1.0,
            lam=c.lam,
        )
        return replace(batch, values=values, returns=values + advantage)

    def advantage(self, batch: Batch) -> Tensor:
        values, returns = critique(batch)
        return whiten(returns - values, batch.mask, ddof=1, eps=1e-8)

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return self.clipped_loss(logp, micro, advantage, low=self.config.clip, high=self.config.clip)

    def auxiliary(self, states: ResponseStates, micro: Batch) -> Tensor:
        old, returns = critique(micro)
        values, _ = self.critic.values(micro, states)
        clip = self.config.clip
        self.log({"clip/value": value_clipped(values, old=old, returns=returns, clip=clip)})
        return self.config.value_weight * clipped_value(values, old=old, returns=returns, clip=clip)

    def weights(self, batch: Batch) -> Tensor:
        return token_mean(batch.mask)

    def describe(self, batch: Batch, advantage: Tensor) -> Metrics:
        """`value/explained` is 1 - Var(R - V) / Var(R): 1 for a perfect critic, 0 for one that knows nothing."""
        values, returns = (x[batch.mask > 0] for x in critique(batch))
        left, whole = (float(x.var(correction=0)) for x in (returns - values, returns))
        numbers = {"value/mean": float(values.mean()), "value/explained": 1 - left / whole if whole else 0.0}
        return super().describe(batch, advantage) | numbers

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | prefixed("critic.", self.critic.state_dict())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.critic.load_state_dict(under("critic.", state))
        super().load_state_dict(state)


def critique(batch: Batch) -> tuple[Tensor, Tensor]:
    """(V, R) of a batch that the critic has seen.  # [B, T], [B, T]"""
    assert batch.values is not None, "PPO.prepare fills in the values and the returns"
    assert batch.returns is not None
    return batch.values, batch.returns
