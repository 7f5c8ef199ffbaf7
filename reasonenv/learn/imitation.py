"""Agents that imitate chosen samples, which is all that sets them apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reasonenv.core import Group
from reasonenv.learn.agent import Agent, Metrics, step_metrics
from reasonenv.learn.losses import likelihood
from reasonenv.learn.observer import SILENT, Observer


class Imitation(Agent):
    """Slot: what to imitate. One step is cross-entropy on the policy's tokens, averaged over the optimiser batch."""

    takes_selected = True  # imitation asks what is good, not how likely it was

    def imitate(self, groups: Sequence[Group], lr: float, observer: Observer = SILENT) -> Metrics:
        """One optimiser step on all the trajectories of these groups."""
        batch = self.batch(groups)
        total = self.accumulate(batch, lambda micro, rows: likelihood(self.policy.logprobs(micro)[0]))
        return step_metrics([total], [self.step(batch, lr, total, observer)], lr)


def cosine(lr: float, step: int, steps: int) -> float:
    """From a tenth of the steps of warm-up to `lr`, then along a cosine to a tenth of it."""
    warmup = max(1, steps // 10)
    if step < warmup:
        return lr * (step + 1) / warmup
    return lr * (0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))
