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
    if not any(True for _ in equations(text)):
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
    shares = {question: _shares(each) for question, each in grouped.items()}
    total: Counter[Form] = Counter()
    for share in shares.values():
        total.update(share)
    others = len(grouped) - 1
    chances = {}
    for question, share in shares.items():
        same = sum(part * (total[each] - part) for each, part in share.items())
        chances[question] = 1 - same / others
    mean = sum(chances.values()) / len(chances)
    return {question: 2 * chance - mean for question, chance in chances.items()}


def _shares(each: Sequence[Form]) -> dict[Form, float]:
    return {kind: count / len(each) for kind, count in Counter(each).items()}


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
    sets = {
        agent: {seed: forms(each, reference=False) for seed, each in cells.items()} for agent, cells in rows.items()
    }
    references: dict[str, list[Form]] = {}
    for cells in rows.values():
        for solutions in cells.values():
            references |= forms(solutions, reference=True)
    shared = set(references)
    for by_seed in sets.values():
        for grouped in by_seed.values():
            shared &= grouped.keys()
    scores = {
        agent: {seed: form_scores(_only(grouped, shared)) for seed, grouped in by_seed.items()}
        for agent, by_seed in sets.items()
    }
    scores[REFERENCE] = {0: form_scores(_only(references, shared))}
    family = contrasts(scores, [(agent, REFERENCE) for agent in rows], fixed=[REFERENCE], bound=2.0)
    return [SetDiversity(c.first, _mean_size(sets[c.first].values()), c) for c in family]


def _only(grouped: Mapping[str, Sequence[Form]], questions: Iterable[str]) -> dict[str, Sequence[Form]]:
    return {question: grouped[question] for question in sorted(questions)}


def _mean_size(sets: Iterable[Mapping[str, Sequence[Form]]]) -> float:
    sizes = [sum(map(len, grouped.values())) / len(grouped) for grouped in sets if grouped]
    return sum(sizes) / len(sizes) if sizes else 0.0
