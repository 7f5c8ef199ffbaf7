"""Supervised fine-tuning on reference solutions: the light prior from which reinforcement learning starts.

    L = - 1/N  sum_(Q, S)  sum_t  log pi(S_t | Q, S_<t)          N: solution tokens of the optimiser batch

Source: the SFT baseline of 2403.04642. Differences: the learning rate falls to a tenth, not to zero, and is chosen for
small models; the paper's Llama-2 run used 2e-5.
"""

from __future__ import annotations

from collections.abc import Sequence

from reasonenv.core import Group
from reasonenv.learn.agent import Budget, Config, Metrics, Plan
from reasonenv.learn.imitation import Imitation, cosine
from reasonenv.learn.observer import SILENT, Observer
from reasonenv.settings import record, setting


@record
class SFTConfig(Config):
    """One iteration is one optimiser step."""

    lr: float = setting(1e-3, "peak learning rate; warm-up, then cosine")
    problems_per_iteration: int | None = setting(64, "N: demonstrations an optimiser step")
    samples_per_problem: int = setting(1, "a problem has one reference solution")


class SFT(Imitation):
    """Imitates the reference solutions (cross-entropy). 2403.04642."""

    Config = SFTConfig

    def plan(self, budget: Budget) -> Plan:
        return Plan(self.config.problems_per_iteration, source="reference")

    def learn(self, groups: Sequence[Group], budget: Budget, observer: Observer = SILENT) -> Metrics:
        lr = cosine(self.config.lr, budget.iteration, budget.iterations)
        return self.imitate(groups, lr, observer)
