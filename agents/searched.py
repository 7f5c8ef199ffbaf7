"""The answers of a search over the initial policy, which learns nothing: what tokens alone buy, spent otherwise.

    answer = the best response by V that a search draws from pi_0(. | Q) within `search_tokens` tokens

Source: Tree of Thoughts, 2305.10601; scaling of compute at test time, 2408.03314. Differences: which search it is, and
by what it goes, are settings of the run (`search=`, `search_value=`); it never goes by verdicts. A problem on which no
response is finished in time has no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, ClassVar

from reasonenv.core import Verdict
from reasonenv.errors import UserError
from reasonenv.learn.baseline import Baseline
from reasonenv.learn.evaluation import GreedyEvaluator, HeldOut
from reasonenv.measures.samples import Sample
from reasonenv.settings import record


@record
class SearchedConfig:
    """The numbers are those of the search."""

    samples_per_problem: ClassVar[int] = 1


class Searched(Baseline):
    """Answers by a search within a budget of tokens (search=, search_tokens=); learns nothing. 2305.10601."""

    Config = SearchedConfig
    takes_selected = True

    @staticmethod
    def choose(verdicts: Sequence[Verdict]) -> int:
        return 0

    def evaluator(self, held_out: HeldOut) -> SearchEvaluator:
        if self.searching is None:
            raise UserError("searched has no search; give one with its budget, say search=tree search_tokens=512")
        return SearchEvaluator(held_out, self)


class SearchEvaluator(GreedyEvaluator):
    """The greedy answers of the policy before, then those of the search, each counted where a greedy one would."""

    def answers(self, iteration: int) -> list[Sample]:
        if iteration == 0:
            return super().answers(0)
        answers = self.held_out.search(self.method)
        return [replace(sample, greedy=True, selected=False) for sample in answers]

    def summary(self, iterations: int) -> dict[str, Any]:
        spent = [sample.search_tokens or 0 for sample in self.stored(iterations)]
        return {**super().summary(iterations), "search_tokens": fmean(spent)}
