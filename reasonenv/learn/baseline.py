"""The floor and the ceilings of a table: methods that do not learn, and only answer in another way than greedily."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from reasonenv.core import Verdict
from reasonenv.learn.evaluation import ChoiceEvaluator, HeldOut
from reasonenv.learn.method import Method
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

    def evaluator(self, held_out: HeldOut) -> ChoiceEvaluator:
        return ChoiceEvaluator(held_out, self)

    def save(self, out: Path) -> None:
        """Nothing was trained."""
