"""The set D_n that an agent has imitated, beside the reference solutions of the same problems.

A reference has one solution a problem and D_n may have many, so the two are compared by one a problem: the chance that
the solutions of two different problems, drawn one each, have different forms. A form is the sequence of operations
without its numbers, `n+n=n | n*n=n`. That is rarefaction to two solutions, less one, and it is unbiased for both sets:

    U = mean_i h_i,    h_i = mean_{j != i} P(form of a solution of i != form of a solution of j)

As a U-statistic of order two it has the variance of the mean of 2 h_i - U over problems (Hoeffding 1948), which are
therefore the scores by which sets are compared, paired by question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from reasonenv.measures.comparisons import Contrast, contrasts
from reasonenv.verify.solution_path import equations, operations, steps_hold

TRAINING_SET = "training_set.parquet"  # in the folder of a run whose agent imitates a set
REFERENCE = "reference solutions"

_NUMBER = re.compile(r"(?<![\d)])-?[\d.]+|[\d.]+")  # with its sign, which is not an operator


@dataclass(frozen=True)
class Solution:
    """One solution of one training problem."""

    problem_id: str
    question: str
    reference: bool  # whether it comes with the problem; else the agent has found it
    correct: bool
    text: str


Form = tuple[str, ...]


def form(text: str) -> Form:
    """The operations of a text without their numbers; empty where no equation is written."""
    if not equations(text):
        return ()
    return tuple(_NUMBER.sub("n", step) for step in operations(text))


def forms(solutions: Iterable[Solution], *, reference: bool) -> dict[str, list[Form]]:
    """Question -> the form of each of its correct solutions without a false step."""
    grouped: dict[str, list[Form]] = {}
    for each in solutions:
        if each.reference == reference and each.correct and steps_hold(each.text) is not False:
            grouped.setdefault(each.question, []).append(form(each.text))
    return grouped


def form_scores(grouped: Mapping[str, Sequence[Form]]) -> dict[str, float]:
    """Question -> 2 h_i - U in [-1, 2]; their mean is U. Of fewer than two questions none."""
    if len(grouped) < 2:
        return {}
    shares: dict[str, dict[Form, float]] = {}
    total = Counter[Form]()
    for question, forms_of in grouped.items():
        shares[question] = {kind: count / len(forms_of) for kind, count in Counter(forms_of).items()}
        total.update(shares[question])
    chances = {}
    for question, share in shares.items():
        same = 0.0
        for kind, part in share.items():
            same += part * (total[kind] - part)
        chances[question] = 1 - same / (len(grouped) - 1)
    mean = sum(chances.values()) / len(chances)
    return {question: 2 * chance - mean for question, chance in chances.items()}


@dataclass(frozen=True)
class SetDiversity:
    """The sets of one agent against the reference solutions of the questions that all sets have solved."""

    agent: str
    solutions: float  # different correct ones a solved question in its sets, mean over seeds
    contrast: Contrast  # of U: the agent's minus that of the references


def set_diversity(rows: Mapping[str, Mapping[int, Sequence[Solution]]]) -> list[SetDiversity]:
    """`rows`: agent -> training seed -> its final set with the references. Empty if they share less than two questions.

    Correct solutions without a false step alone are counted, on all sides.
    """
    sets: dict[tuple[str, int], dict[str, list[Form]]] = {}
    references: dict[str, list[Form]] = {}
    for agent, cells in rows.items():
        for seed, solutions in cells.items():
            sets[agent, seed] = forms(solutions, reference=False)
            references |= forms(solutions, reference=True)
    shared = sorted(set(references).intersection(*sets.values()))
    scores: dict[str, dict[int, dict[str, float]]] = {REFERENCE: {0: form_scores(_only(references, shared))}}
    sizes: dict[str, list[float]] = {}
    for (agent, seed), grouped in sets.items():
        scores.setdefault(agent, {})[seed] = form_scores(_only(grouped, shared))
        sizes.setdefault(agent, []).append(sum(map(len, grouped.values())) / max(len(grouped), 1))
    diversities = []
    for contrast in contrasts(scores, [(agent, REFERENCE) for agent in rows], fixed=[REFERENCE], bound=2.0):
        diversities.append(SetDiversity(contrast.first, fmean(sizes[contrast.first]), contrast))
    return diversities


def _only(grouped: Mapping[str, Sequence[Form]], questions: Iterable[str]) -> dict[str, Sequence[Form]]:
    return {question: grouped[question] for question in questions}
