"""The floor and the ceilings of a table: methods that do not learn, and only answer in another way than greedily."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from reasonenv.core import Group, Trajectory, Verdict
from reasonenv.learn.evaluation import GreedyEvaluator, HeldOut, records
from reasonenv.learn.method import Method
from reasonenv.measures.samples import Sample
from reasonenv.settings import record, setting


@record
class BaselineConfig:
    """How much an answer may cost."""

    samples_per_problem: int = setting(8, "k: samples from which one answer is made", ge=1)


class Baseline(Method):
    """Slot: `choose`, which makes one answer of k samples at temperature 1. It counts where a greedy one would."""

    Config: ClassVar[Any] = BaselineConfig
    trains_policy = False

    @staticmethod
    @abstractmethod
    def choose(verdicts: Sequence[Verdict]) -> int:
        """Which of the samples of a problem, by their verdicts, is the answer."""

    def evaluator(self, held_out: HeldOut) -> GreedyEvaluator:
        return ChoiceEvaluator(held_out, self)

    def save(self, out: Path) -> None:
        """Nothing was trained."""


class ChoiceEvaluator(GreedyEvaluator):
    """The greedy answers of a baseline's policy before, then the answers that the baseline chooses."""

    method: Baseline

    def answers(self, iteration: int) -> list[Sample]:
        if iteration == 0:
            return super().answers(0)
        baseline = self.method
        sampler = baseline.sampler(self.held_out.sampler)
        chosen: list[Trajectory] = []
        for group in self.held_out.draw(sampler, baseline.config.samples_per_problem, 1.0, purpose="choice"):
            chosen.append(group.trajectories[baseline.choose([t.verdict for t in group.trajectories])])
        return records([Group(t.problem, (t,)) for t in chosen], self.held_out.mdp, greedy=True)
