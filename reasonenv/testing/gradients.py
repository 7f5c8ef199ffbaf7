"""The gradient that an agent takes, without taking it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from reasonenv.core import Group
from reasonenv.learn.agent import Agent, Budget
from reasonenv.learn.optimizer import Optimizer
from reasonenv.policy.collate import collate
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.policy.policy import Policy


class _Still(Optimizer):
    """Keeps the gradient of each step and leaves the weights alone."""

    name = "still"
    moments = ()
    steps: tuple[Tensor, ...] = ()

    def update(self, *args: object, **kwargs: object) -> None:
        raise AssertionError("no weight moves")

    def step(self, lr: float, *, loss: float = 0.0) -> float:
        known = self.gradients()
        gradient = torch.cat([known.get(i, torch.zeros_like(p)).flatten() for i, p in enumerate(self.parameters)])
        self.steps = (*self.steps, gradient.detach().cpu())
        self.forget()
        return float(gradient.norm())


def gradients(agent: Agent, groups: Sequence[Group], budget: Budget | None = None) -> tuple[Tensor, ...]:
    """The gradient [parameters] of each optimiser step of `agent.learn(groups)`, all at the policy as it is now.

    Nothing is clipped and nothing moves; the agent has its own optimiser back afterwards.
    """
    optimizer, still = agent.optimizer, _Still(agent.parameters(), max_grad_norm=1.0)
    agent.optimizer = still
    agent.new_optimizer = lambda: still  # type: ignore[method-assign]
    try:
        agent.learn(groups, budget or Budget(0, 1))
    finally:
        agent.optimizer = optimizer
        del agent.new_optimizer
    return still.steps


def scored(policy: Policy, groups: Sequence[Group], *, temperature: float = 1.0) -> list[Group]:
    """The same trajectories with the log-probs that a sampler of `policy` would have given them."""
    batch = collate(groups, pad=policy.tokenizer.eos_id)
    logp, _ = policy.score(batch, tokens_per_microbatch=TOKENS_PER_MICROBATCH, temperature=temperature)
    rows, rescored = iter(logp.numpy()), []
    for group in groups:
        pairs = zip(group.trajectories, rows, strict=False)  # the next rows are the next group's
        trajectories = [replace(t, logprobs=row[: len(t.tokens)] * (t.roles != 0)) for t, row in pairs]
        rescored.append(replace(group, trajectories=tuple(trajectories)))
    return rescored
