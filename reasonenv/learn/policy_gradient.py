"""Agents that follow a policy gradient: an advantage, a surrogate and weights.

Two kinds fill in more: `DynamicSampling` the batch with groups that teach, `Referenced` the KL to the initial policy.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from reasonenv.core import Batch, Group
from reasonenv.errors import UserError
from reasonenv.learn.agent import Agent, Budget, Config, Metrics
from reasonenv.learn.filters import nonconstant, usable
from reasonenv.learn.losses import clip_fractions, clipped, k1
from reasonenv.learn.observer import SILENT, Observer
from reasonenv.learn.tally import Tally
from reasonenv.policy.microbatch import passed
from reasonenv.policy.policy import Policy, ResponseStates
from reasonenv.seeding import generator
from reasonenv.settings import record, setting


@record
class PolicyGradientConfig(Config):
    """Adds what controls off-policyness and exploration."""

    temperature: float = setting(1.0, "of the rollouts; log-probs are taken at the same temperature", gt=0)
    epochs: int = setting(1, "passes over the samples of an iteration", gt=0)
    minibatches: int = setting(1, "optimiser steps a pass; 1 with 1 epoch is on-policy", gt=0)
    warmup: int = setting(0, "optimiser steps in which the learning rate rises linearly to lr", ge=0)

    least_samples: ClassVar[int] = 1  # 2 where the baseline comes from the siblings
    on_policy: ClassVar[bool] = False  # whether the algorithm has no correction for samples of an older policy

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples_per_problem < self.least_samples:
            raise UserError(f"samples_per_problem is {self.samples_per_problem}; a group baseline needs at least 2")
        for name in ("epochs", "minibatches"):
            if self.on_policy and getattr(self, name) > 1:
                raise UserError(f"{name} is {getattr(self, name)}; this algorithm is on-policy, it must be 1")


class PolicyGradient(Agent):
    """Slots: which groups to `keep`, `advantage` of the whole batch, `surrogate` of a micro-batch, `weights`.

    A row of advantage 0 passes without a gradient if the agent declares `loss_scales_with_advantage`. What a class
    declares is said of the loss that it has: a subclass with another `surrogate` or `auxiliary`, of its own or from
    another parent, declares it again, or has none of its rows skipped.

    Samples of which nothing is known are left out (`usable`). Stale samples, of an older version of the policy than
    today's, are taken as they come; `staleness` is the mean age of their tokens in versions. A surrogate anchored on
    the sampler's `sampled_logp` corrects for it by its ratio; one anchored on the trainer's `old_logp` does not.
    """

    Config = PolicyGradientConfig
    config: PolicyGradientConfig
    signal = "contrast"
    learns_from_rewards = True

    def __init__(self, policy: Policy, config: Any = None, *, seed: int = 0) -> None:
        super().__init__(policy, config, seed=seed)
        self.logged: dict[str, Tensor] = {}  # by `log`, of the micro-batch that is passing

    @property
    def loss_scales_with_advantage(self) -> bool:
        """Whether the loss of a token is its advantage times something, so that of a row of advantage 0 it is 0."""
        return False

    @abstractmethod
    def advantage(self, batch: Batch) -> Tensor:
        """[B, T] or [B, 1], from the rewards of the whole batch."""

    @abstractmethod
    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        """The loss of each token [b, T], to be minimised. `micro.entropy` is that of the choice, differentiable."""

    @abstractmethod
    def weights(self, batch: Batch) -> Tensor:
        """The weight of each token in the loss [b, T], from the mask and the groups of one optimiser batch."""

    def keep(self, groups: Sequence[Group]) -> Sequence[Group]:
        """The groups worth learning from: all."""
        return groups

    def prepare(self, batch: Batch) -> Batch:
        """Adds the log-probs that stay fixed during the update: the trainer's own, if there is more than one step."""
        if self.config.epochs * self.config.minibatches == 1:
            return batch  # the first forward pass of the only step yields them
        return replace(batch, old_logp=self.scored(self.policy, batch))

    def scored(self, policy: Policy, batch: Batch) -> Tensor:
        """The log-probs of a whole batch under `policy`, without gradient, on the CPU.  # [B, T]"""
        c = self.config
        return policy.score(batch, tokens_per_microbatch=c.tokens_per_microbatch, temperature=c.temperature)[0]

    def measure(self, states: ResponseStates, micro: Batch) -> Batch:
        """Adds what the surrogate wants to know of the current policy beside `logp`: nothing."""
        return micro

    def auxiliary(self, states: ResponseStates, micro: Batch) -> Tensor | None:
        """A loss of each token [b, T] beside the surrogate, such as a critic's or - c `micro.entropy`: none."""
        return None

    def log(self, numbers: Mapping[str, Tensor]) -> None:
        """For `surrogate` and `auxiliary`: the means of these [b, T] over all tokens will be among the metrics."""
        self.logged.update(numbers)

    def clipped_loss(self, logp: Tensor, micro: Batch, advantage: Tensor, *, low: float, high: float) -> Tensor:
        """PPO's clipped loss from the ratio to `old_logp`; logs the shares of tokens that lose their gradient by it."""
        old = micro.old_logp
        self.log(clip_fractions((logp - old).exp(), advantage=advantage, low=low, high=high))
        return clipped(logp, anchor=old, advantage=advantage, low=low, high=high)

    def describe(self, batch: Batch, advantage: Tensor) -> Metrics:
        """What can be said of the whole batch before the update."""
        return {"advantage/zero": float((advantage == 0).all(dim=1).float().mean())}

    def learning_rate(self) -> float:
        """Of the next step: `lr`, but for the warm-up."""
        return self.config.lr * min(1.0, (self.optimizer.taken + 1) / max(1, self.config.warmup))

    def passes(self, batch: Batch, advantage: Tensor) -> list[tuple[Tensor, bool]]:
        """The rows of each micro-batch, and whether they teach: of others, only the metrics are wanted."""
        idle = (advantage == 0).all(dim=1) & self._declared()
        passes: list[tuple[Tensor, bool]] = []
        # Those that teach are cut last and come first: it is their shape that memory has to hold.
        for rows, teaches in ((idle.nonzero()[:, 0], False), ((~idle).nonzero()[:, 0], True)):
            if len(rows):
                passes = [(rows[micro], teaches) for micro in self.micro(batch.select(rows))] + passes
        return passes

    def _declared(self) -> bool:
        """Whether `loss_scales_with_advantage` was said of the loss as it is.

        A class says it of the loss that it has. Where a class that is none of its bases, or a wrapper put on an agent
        alone, changes a slot of that loss, or a method that the class or a base of it has beside the slots and may call
        in its loss, nobody has said it of what comes of both.
        """
        if not self.loss_scales_with_advantage or "loss_scales_with_advantage" in vars(self):
            return self.loss_scales_with_advantage
        kinds = type(self).__mro__
        bases = next(kind for kind in kinds if "loss_scales_with_advantage" in vars(kind)).__mro__
        loss = {"surrogate", "auxiliary", "clipped_loss"}
        for base in bases:
            if issubclass(base, PolicyGradient):
                loss.update(name for name in vars(base) if not hasattr(PolicyGradient, name))
        others = [self, *(kind for kind in kinds if kind not in bases)]
        return all(loss.isdisjoint(vars(other)) for other in others)

    def learn(self, groups: Sequence[Group], budget: Budget, observer: Observer = SILENT) -> Metrics:
        c = self.config
        kept = self.keep(usable(groups))
        share = {"groups/kept": len(kept) / len(groups)}
        if not kept:
            return share | {"updates": 0.0}  # nothing to learn from: the policy stays as it is
        batch = self.prepare(self.batch(kept))
        advantage = self.advantage(batch)
        size, width = batch.mask.shape
        if advantage.shape not in ((size, width), (size, 1)):
            raise UserError(
                f"the advantage of {type(self).__name__} has shape {list(advantage.shape)}; it must be "
                f"[B, T] = [{size}, {width}] or [B, 1]"
            )
        observer.update(budget, kept, advantage)
        tally = Tally(budget.iteration)
        for epoch in range(c.epochs):
            draw = generator(self.seed, "minibatch", budget.iteration, epoch)
            order = torch.from_numpy(draw.permutation(len(batch.group)))
            for rows in order.tensor_split(min(c.minibatches, len(order))):
                part = batch.select(rows)
                self._accumulate(part, advantage[rows], tally)
                lr = self.learning_rate()
                tally.step(self.step(part, lr, tally.loss, observer))
        numbers = {
            "staleness": float(((budget.iteration - batch.versions) * batch.mask).sum() / batch.mask.sum()),
            "epochs": float(c.epochs),
            "minibatches": float(c.minibatches),
            "lr": lr,
        }
        return tally.metrics() | share | self.describe(batch, advantage) | numbers

    def _accumulate(self, part: Batch, advantage: Tensor, tally: Tally) -> None:
        """Adds the gradient of one optimiser batch, micro-batch by micro-batch."""
        weights = self.weights(part)
        for rows, teaches in self.passes(part, advantage):
            with torch.set_grad_enabled(teaches):
                loss = self._loss(part.select(rows), advantage[rows], weights[rows], tally)
            if teaches:
                self.optimizer.backward(loss)

    def _loss(self, micro: Batch, advantage: Tensor, weights: Tensor, tally: Tally) -> Tensor:
        """The loss of one micro-batch, which `tally` counts."""
        c, device = self.config, self.policy.device
        self.logged = {}
        tally.sums["passed"] += passed(micro, shared=self.policy.shared)
        states = self.policy.states(micro)
        logp, entropy = self.policy.logprobs(micro, temperature=c.temperature, states=states)
        micro = replace(micro.to(device), entropy=entropy)
        if c.epochs * c.minibatches == 1:
            micro = replace(micro, old_logp=logp.detach())
        micro = self.measure(states, micro)
        token_loss = self.surrogate(logp, micro, advantage[:, : micro.width].to(device))
        auxiliary = self.auxiliary(states, micro)
        if auxiliary is not None:
            token_loss = token_loss + auxiliary
        loss = (weights[:, : micro.width].to(device) * token_loss).sum()
        tally.add(logp.detach(), entropy.detach(), micro, float(loss.detach()), self.logged)
        return loss


class DynamicSampling(PolicyGradient):
    """Learns from N groups that are not constant, N being `problems_per_iteration` (DAPO, 2503.14476, equation 11).

    Whether a group is constant is decided by its verdicts, whatever the reward. Those first sampled are kept, and the
    surplus is cut. Where N is every problem of the task there is nothing to replace a group with.
    """

    def keep(self, groups: Sequence[Group]) -> Sequence[Group]:
        return nonconstant(groups)[: self.config.problems_per_iteration]

    def groups_missing(self, groups: Sequence[Group]) -> int:
        """As many as will fill the batch if they yield what the problems so far have yielded."""
        count, target = len(nonconstant(usable(groups))), self.config.problems_per_iteration or 0
        return max(0, math.ceil((target - count) * len(groups) / max(count, 1)))


@record
class ReferenceConfig(PolicyGradientConfig):
    """Adds the weight of a KL to the initial policy."""

    beta: float = setting(0.0, "beta: weight of the KL to the initial policy; 0 needs no reference model", ge=0)


class Referenced(PolicyGradient):
    """Fills `ref_logp` of the batch, from a frozen copy of the initial policy, if `beta` is above 0."""

    Config = ReferenceConfig
    config: ReferenceConfig

    def __init__(self, policy: Policy, config: ReferenceConfig | None = None, *, seed: int = 0) -> None:
        super().__init__(policy, config, seed=seed)
        self.reference = policy.clone() if self.config.beta else None

    def prepare(self, batch: Batch) -> Batch:
        batch = super().prepare(batch)
        if self.reference is None:
            return batch
        return replace(batch, ref_logp=self.scored(self.reference, batch))

    def penalised(self, batch: Batch) -> Tensor:
        """Rewards with the KL of each token taken off, r_t - beta k1, at the policy that sampled.  # [B, T]"""
        if batch.ref_logp is None:
            return batch.rewards
        return batch.rewards - self.config.beta * k1(batch.old_logp, batch.ref_logp) * batch.mask
