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
    """Counts micro-batch by micro-batch, and step by step.

    The distance of two log-probabilities of a token, the sampler's and the trainer's at the start of the update, is the
    `gap` where both are of the same weights, of `version`: an error of one of the two. Where the token was drawn with
    older weights it is the `drift` of the policy since then.
    """

    def __init__(self, version: int) -> None:
        self.version = version  # of the trainer's weights at the start of the update
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.logged: defaultdict[str, float] = defaultdict(float)  # sums of what the agent logs
        self.distances: dict[str, list[Tensor]] = {"gap": [], "drift": []}  # of every token, in nats
        self.loss = 0.0  # of the step that is being prepared

    def add(self, logp: Tensor, entropy: Tensor, micro: Batch, loss: float, logged: Mapping[str, Tensor]) -> None:
        """One micro-batch, and what the agent logs of each of its tokens [b, T]."""
        mask = micro.mask
        ratio = likelihood_ratio(logp, micro.old_logp)
        for name, value in {
            "tokens": mask.sum(),
            "entropy": (entropy * mask).sum(),
            "moved": ((ratio - 1).abs() * mask).sum(),
        }.items():
            self.sums[name] += float(value)
        current = mask * (micro.versions == self.version)
        self._compare("gap", micro, current)
        self._compare("drift", micro, mask - current)
        for name, numbers in logged.items():
            self.logged[name] += float((numbers.detach() * mask).sum())
        self.loss += loss

    def _compare(self, name: str, micro: Batch, chosen: Tensor) -> None:
        """Adds the distances of the tokens on which `chosen` [b, T] is 1, and their ratio of trainer to sampler."""
        distance = (micro.sampled_logp - micro.old_logp).abs() * chosen
        weight = likelihood_ratio(micro.old_logp, micro.sampled_logp) * chosen
        self.sums[name] += float(distance.sum())
        self.sums[f"{name}/weight"] += float(weight.sum())
        self.sums[f"{name}/weight2"] += float((weight * weight).sum())
        self.distances[name].append(distance[chosen > 0].cpu())

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
        return {
            "loss": s["loss"] / steps,
            "entropy": s["entropy"] / tokens,
            "tokens/useful": s["tokens"] / max(s["passed"], 1),
            **self._distance("gap"),
            **self._distance("drift"),
            "ratio/moved": s["moved"] / tokens,
            "grad_norm": s["norm"] / steps,
            "updates": float(s["steps"]),
            "updates/refused": float(s["refused"]),
            **{name: total / tokens for name, total in self.logged.items()},
        }

    def _distance(self, name: str) -> dict[str, float]:
        """Mean, 99th percentile and maximum of the distances, and the effective sample size a token, if any."""
        distances = torch.cat([*self.distances[name], torch.zeros(1)]).sort().values
        count = len(distances) - 1
        if not count:
            return {}
        return {
            f"{name}/mean": self.sums[name] / count,
            f"{name}/p99": float(distances[math.ceil(0.99 * len(distances)) - 1]),
            f"{name}/max": float(distances[-1]),
            f"{name}/ess": self.sums[f"{name}/weight"] ** 2 / max(self.sums[f"{name}/weight2"], 1e-30) / count,
        }
