"""What an agent is. It sees trajectories, never the environment.

The two families are in `policy_gradient.py` and `imitation.py`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from reasonenv.core import Batch, Group
from reasonenv.errors import UserError
from reasonenv.learn.method import Method, Signal
from reasonenv.learn.observer import SILENT, Observer
from reasonenv.learn.observer import Budget as Budget  # who writes an agent finds all that it needs here
from reasonenv.learn.optimizer import AdamW, Optimizer
from reasonenv.learn.weights import token_mean
from reasonenv.policy.collate import collate
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH, microbatches, passed
from reasonenv.policy.policy import Policy, prefixed, under
from reasonenv.policy.value_head import Scorer
from reasonenv.settings import record, setting

Metrics = dict[str, float]

MAX_ROWS = 1 << 24  # samples of an iteration: more is a slip of the hand


@dataclass(frozen=True)
class Plan:
    """What an agent wants to see next. `problems=None` means every problem of the task."""

    problems: int | None
    samples: int = 1
    temperature: float = 1.0
    source: Literal["policy", "reference"] = "policy"
    exclude: frozenset[str] = frozenset()  # ids of problems not to be drawn, as long as there are others


@record
class Config:
    """The numbers every agent has. Three of them size a batch; the rest is derived."""

    lr: float = setting(1e-4, "learning rate", gt=0)
    max_grad_norm: float = setting(1.0, "gradients are clipped to this norm", gt=0)
    weight_decay: float = setting(0.0, "decoupled weight decay of AdamW", ge=0)
    problems_per_iteration: int | None = setting(32, "N: problems an iteration (none: the whole training set)", ge=1)
    samples_per_problem: int = setting(8, "G: samples a problem", gt=0)
    tokens_per_microbatch: int = setting(TOKENS_PER_MICROBATCH, "tokens in one forward and backward pass", gt=0)

    def __post_init__(self) -> None:
        rows = (self.problems_per_iteration or 1) * self.samples_per_problem
        if rows > MAX_ROWS:
            raise UserError(f"problems_per_iteration * samples_per_problem is {rows}; it must be at most {MAX_ROWS}")


class Agent(Method, ABC):
    """Says what to sample, and makes the policy better from what came back."""

    Config: ClassVar[Any] = Config
    conditions: ClassVar[bool] = False  # whether it can train a policy that is conditioned on goals
    signal: ClassVar[Signal] = "correct"
    prefix: ClassVar[str] = "policy."  # of the names of the learner's tensors in a state
    largest: tuple[int, int] | None = None  # rows and tokens of the largest micro-batch

    def __init__(self, policy: Policy, config: Any = None, *, seed: int = 0) -> None:
        if policy.goals is not None and self.trains_policy and not self.conditions:
            raise UserError(f"policy {policy.name!r} writes behind goals; train it with rcrl, or give another --policy")
        super().__init__(policy, config, seed=seed)
        self.optimizer = self.new_optimizer()

    @property
    def learner(self) -> Policy | Scorer:
        """The model that the agent trains."""
        return self.policy

    def parameters(self) -> list[nn.Parameter]:
        """What the agent trains."""
        return self.learner.parameters()

    def new_optimizer(self) -> Optimizer:
        """AdamW over the parameters as they are now, with nothing remembered."""
        c = self.config
        return AdamW(self.parameters(), max_grad_norm=c.max_grad_norm, weight_decay=c.weight_decay)

    def plan(self, budget: Budget) -> Plan:
        """What to sample for the next iteration: G samples of N problems, at the temperature of the config if any."""
        c = self.config
        return Plan(c.problems_per_iteration, c.samples_per_problem, getattr(c, "temperature", 1.0))

    @abstractmethod
    def learn(self, groups: Sequence[Group], budget: Budget, observer: Observer = SILENT) -> Metrics:
        """Improves the policy, and reports to `observer` meanwhile.

        The metrics hold `updates`, the number of optimiser steps taken, and, if there are any, `updates/refused`: those
        not taken, because their loss or gradient was not finite.
        """

    def groups_missing(self, groups: Sequence[Group]) -> int:
        """How many groups more to sample before it learns from `groups`, all of this iteration so far: none."""
        return 0

    def state_dict(self) -> dict[str, Tensor]:
        """All that the next iteration depends on, as flat named tensors."""
        optimizer = prefixed("optimizer.", self.optimizer.state_dict())
        return prefixed(self.prefix, self.learner.state_dict()) | optimizer

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`. Without a state of the optimiser that begins anew."""
        self.learner.load_state_dict(under(self.prefix, state))
        self.optimizer = self.new_optimizer()
        optimizer = under("optimizer.", state)
        if optimizer:
            self.optimizer.load_state_dict(optimizer)

    def batch(self, groups: Sequence[Group]) -> Batch:
        """The groups as tensors. Raises `UserError` for samples that are no draws, if the agent takes them for such."""
        if not self.takes_selected and any(t.selected for group in groups for t in group.trajectories):
            raise UserError(no_draws(type(self).__name__))
        return collate(groups, pad=self.policy.tokenizer.eos_id)

    def micro(self, batch: Batch) -> list[Tensor]:
        """The rows of each micro-batch, and the size of the largest as `largest`."""
        shared = self.policy.shared
        cut = microbatches(batch, self.config.tokens_per_microbatch, shared=shared)
        sizes = [(len(rows), passed(batch.select(rows), shared=shared)) for rows in cut]
        self.largest = max(sizes, key=lambda size: size[1])
        return cut

    def accumulate(self, batch: Batch, loss: Callable[[Batch, Tensor], Tensor]) -> float:
        """Adds the gradient of the mean over all tokens of `loss(micro, rows)` [b, T]. Returns the mean."""
        weights, total = token_mean(batch.mask), 0.0
        for rows in self.micro(batch):
            micro = batch.select(rows)
            each = loss(micro, rows)
            mean = (weights[rows][:, : micro.width].to(each.device) * each).sum()
            self.optimizer.backward(mean)
            total += float(mean.detach())
        return total

    def step(self, batch: Batch, lr: float, loss: float, observer: Observer = SILENT) -> float:
        """One update by the gradient of `loss` on `batch`, or none if either is not finite. Returns the norm."""
        norm = self.optimizer.step(lr, loss=loss)
        if not math.isfinite(norm):
            observer.skipped_step(batch)
        return norm


def no_draws(agent: str) -> str:
    """The message about samples that were selected, where an agent needs draws."""
    return (
        f"{agent} learns from samples as draws of the policy, and these were selected among draws, so no ratio and no "
        "baseline holds for them; use an agent that imitates (ei, best_of_n), or leave the search out"
    )


def step_metrics(losses: Sequence[float], norms: Sequence[float], lr: float) -> Metrics:
    """Of some optimiser steps: their mean loss, the mean norm of their gradients, and how many were taken."""
    taken = sum(map(math.isfinite, norms))
    return {
        "loss": sum(losses) / len(losses),
        "grad_norm": sum(norms) / len(norms),
        "lr": lr,
        "updates": float(taken),
        "updates/refused": float(len(norms) - taken),
    }
