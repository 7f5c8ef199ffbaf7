"""What an update looked like: sums over its micro-batches, for the log."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from reasonenv.core import Batch
from reasonenv.learn.losses import likelihood_ratio


class Tally:
    """Counts micro-batch by micro-batch, and step by step."""

    def __init__(self) -> None:
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.logged: defaultdict[str, float] = defaultdict(float)  # sums of what the agent logs
        self.gaps: list[Tensor] = []  # of every token, in nats
        self.loss = 0.0  # of the step that is being prepared

    def add(self, logp: Tensor, entropy: Tensor, micro: Batch, loss: float, logged: Mapping[str, Tensor]) -> None:
        """One micro-batch, and what the agent logs of each of its tokens [b, T]."""
        mask = micro.mask
        gap = (micro.sampled_logp - micro.old_logp).abs() * mask
        ratio = likelihood_ratio(logp, micro.old_logp)
        weight = likelihood_ratio(micro.old_logp, micro.sampled_logp) * mask
        for name, value in {
            "tokens": mask.sum(),
            "entropy": (entropy * mask).sum(),
            "gap": gap.sum(),
            "moved": ((ratio - 1).abs() * mask).sum(),
            "weight": weight.sum(),
            "weight2": (weight * weight).sum(),
        }.items():
            self.sums[name] += float(value)
        for name, numbers in logged.items():
            self.logged[name] += float((numbers.detach() * mask).sum())
        self.loss += loss
        self.gaps.append(gap[mask > 0].cpu())

    def step(self, norm: float) -> None:
        """The step of all micro-batches since the last one: taken, if its norm is finite."""
        if math.isfinite(norm):
            for name, value in (("steps", 1), ("loss", self.loss), ("norm", norm)):
                self.sums[name] += value
        else:
            self.sums["refused"] += 1
        self.loss = 0.0

    def metrics(self) -> dict[str, float]:
        """Means over the tokens, and over the steps that were taken."""
        s, tokens, steps = self.sums, max(self.sums["tokens"], 1), max(self.sums["steps"], 1)
        gaps = torch.cat([*self.gaps, torch.zeros(1)]).sort().values
        return {
            "loss": s["loss"] / steps,
            "entropy": s["entropy"] / tokens,
            "tokens/useful": s["tokens"] / max(s["passed"], 1),
            "gap/mean": s["gap"] / tokens,
            "gap/p99": float(gaps[math.ceil(0.99 * len(gaps)) - 1]),
            "gap/max": float(gaps[-1]),
            "gap/ess": s["weight"] ** 2 / max(s["weight2"], 1e-30) / tokens,
            "ratio/moved": s["moved"] / tokens,
            "grad_norm": s["norm"] / steps,
            "updates": float(s["steps"]),
            "updates/refused": float(s["refused"]),
            **{name: total / tokens for name, total in self.logged.items()},
        }
