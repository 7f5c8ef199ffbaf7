"""Sharpening or discovery: what the initial policy knew of the problems that an agent solves, against a placebo.

The success probability p_0 of the initial policy on each held-out problem is estimated from a base budget of samples of
its own: as many as an agent is measured with of every problem, then more in doubling rounds of those still unsolved.
A problem with a correct sample by an agent was already likely, in support, or not seen in the base budget. What counts
is the question: problems that ask the same share their base samples, and are seen if one of them is.

An untrained policy has problems of the last kind too: it solves now, by luck, what it did not solve before. The row of
the initial policy is therefore the placebo: its evaluation samples, as many as an agent's, are no part of the base
budget, and given that budget both are fresh draws. With p' = p_0 the two shares "solved and not seen before" have the
same expectation whatever p_0 is, so their difference is the claim: above 0 it is more than luck. A training seed that
is also the seed of the initial policy shares the random numbers of its evaluation; that pairs the two more closely and
changes no expectation. Base draws share their random numbers with nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from reasonenv.measures.comparisons import Contrast, contrasts
from reasonenv.measures.samples import Sample, Samples
from reasonenv.stats import LEVEL

if TYPE_CHECKING:
    from reasonenv.measures.provenance import SolvedProblem

ByQuestion = Callable[[Mapping[str, float]], Mapping[str, float]]  # question -> mean of its problems, by problem
BASE = "base.parquet"  # in the folder of the run whose policy all others start from: its `Draws`


class Origin(StrEnum):
    """Where a question stood before training, by the estimate of p_0."""

    LIKELY = "already likely"  # p_0 >= 1/2
    SUPPORT = "in support"  # seen, but less often
    UNSEEN = "not seen"  # by no sample of the base budget


@dataclass(frozen=True)
class Draws:
    """What the base budget has shown of one problem. Samples whose verdict failed are not counted."""

    problem_id: str  # or the question, of all problems that ask it: see `pooled`
    drawn: int
    right: int

    @property
    def origin(self) -> Origin:
        if not self.right:
            return Origin.UNSEEN
        return Origin.LIKELY if 2 * self.right >= self.drawn else Origin.SUPPORT


def upper_bound(n: int) -> float:
    """The largest p_0 that n samples without a correct one do not reject: (1 - p)^n = 0.05, about 3 / n.

    The one-sided 95 % bound of Clopper and Pearson; its approximation is the rule of three.
    """
    return 1.0 - float((1 - LEVEL) ** (1 / n))


def base_draws(
    draw: Callable[[Sequence[int], int, int], Sequence[tuple[int, int]]],
    problems: Sequence[int],
    *,
    first: int,
    most: int,
) -> dict[int, tuple[int, int]]:
    """Problem -> (drawn, right): `first` samples of each, then as many as before of the unsolved ones, up to `most`.

    `draw(problems, samples, round)` draws that many new samples of each problem and counts them. A count that stops at
    the first success overstates a small p_0; that none was right is not affected.
    """
    drawn, right = dict.fromkeys(problems, 0), dict.fromkeys(problems, 0)
    unsolved, used, number = list(problems), 0, 0
    while unsolved and used < most:
        samples = min(max(used, first), most - used)
        for problem, (checked, hits) in zip(unsolved, draw(unsolved, samples, number), strict=True):
            drawn[problem] += checked
            right[problem] += hits
        unsolved = [problem for problem in unsolved if not right[problem]]
        used, number = used + samples, number + 1
    return {problem: (drawn[problem], right[problem]) for problem in problems}


def pooled(base: Iterable[Draws], by_question: ByQuestion) -> dict[str, Draws]:
    """Problem -> what the base budget has shown of its question, in the draws of all problems that ask it."""
    questions: dict[str, str] = {}
    drawn, right = Counter[str](), Counter[str]()
    for draws in base:
        (question,) = by_question({draws.problem_id: 0.0})
        questions[draws.problem_id] = question
        drawn[question] += draws.drawn
        right[question] += draws.right
    of_question = {question: Draws(question, drawn[question], right[question]) for question in drawn if drawn[question]}
    return {problem: of_question[question] for problem, question in questions.items() if question in of_question}


def solved(samples: Samples | Iterable[Sample], k: int) -> dict[str, bool]:
    """Problem -> whether one of its first `k` sampled answers is correct."""
    samples = Samples.of(samples)
    among = samples.sampled & (samples.index < k)
    hits = samples.count(among & samples.correct) > 0
    return {samples.problems[p]: bool(hits[p]) for p in np.flatnonzero(samples.count(among)).tolist()}


def origins(samples: Samples | Iterable[Sample], base: Mapping[str, Draws], k: int) -> dict[str, Origin]:
    """Of the questions of which the first `k` samples solve a problem, where each stood; `base` is `pooled`."""
    stood = {}
    for problem, right in solved(samples, k).items():
        if right and problem in base:
            stood[base[problem].problem_id] = base[problem].origin
    return stood


def discovered(samples: Samples | Iterable[Sample], base: Mapping[str, Draws], k: int) -> dict[str, float]:
    """Problem -> 1 if the first `k` samples solve it and its question was not seen; `base` is `pooled`."""
    outcomes = solved(samples, k)
    return {p: float(right and base[p].origin is Origin.UNSEEN) for p, right in outcomes.items() if p in base}


@dataclass(frozen=True)
class Surprise:
    """1 / p_0 of the winning texts of one agent: how many samples of the initial policy it takes to draw each of them.

    In decimal logarithms, as some are beyond all floats. Of the text itself: others may solve the same problem.
    """

    quartiles: tuple[float, float, float]
    beyond: float  # share of the texts above the base budget
    texts: int


def surprise(solved_problems: Iterable[SolvedProblem], budget: int) -> Surprise | None:
    """Of the most probable correct text of each problem that an agent solves; None for none."""
    costs = np.array([-problem.initial_logp for problem in solved_problems]) / np.log(10)
    if not len(costs):
        return None
    first, middle, third = np.quantile(costs, (0.25, 0.5, 0.75), method="inverted_cdf").tolist()
    return Surprise((first, middle, third), float(np.mean(costs > np.log10(budget))), len(costs))


@dataclass(frozen=True)
class Discovery:
    """What the initial policy knew of the problems that the rows of one setting solve."""

    k: int  # samples of a problem by which every row is measured
    budget: int  # base samples of a question that none of them has solved, at least
    unseen: int  # so many questions
    questions: int  # of so many
    placebo: str  # the row of the initial policy
    origins: Mapping[str, Mapping[Origin, int]]  # row -> its solved questions, over seeds
    gains: Mapping[str, Contrast]  # agent -> its share of all questions "solved and not seen", minus the placebo's
    surprises: Mapping[str, Surprise]  # agent -> its winning texts


def discovery(
    rows: Mapping[str, Mapping[int, Samples | Sequence[Sample]]],
    solved_problems: Mapping[str, Sequence[SolvedProblem]],
    base: Iterable[Draws],
    *,
    k: int,
    placebo: str,
    by_question: ByQuestion,
) -> Discovery | None:
    """`rows`: row -> training seed -> its answers; `by_question` makes a value a question from one a problem.

    None without base draws, or without samples of the `placebo`.
    """
    draws = pooled(base, by_question)
    if not draws or not k or placebo not in rows:
        return None
    questions = set(draws.values())
    unseen = [question.drawn for question in questions if question.origin is Origin.UNSEEN]
    budget = min(unseen, default=max(question.drawn for question in questions))
    scores: dict[str, dict[int, Mapping[str, float]]] = {row: {} for row in rows}
    counts = {row: Counter[Origin]() for row in rows}
    for row, seeds in rows.items():
        for seed, samples in seeds.items():
            scores[row][seed] = by_question(discovered(samples, draws, k))
            counts[row].update(origins(samples, draws, k).values())
    family = contrasts(scores, [(row, placebo) for row in rows if row != placebo], fixed=[placebo])
    surprises: dict[str, Surprise] = {}
    for agent, problems in solved_problems.items():
        costs = surprise(problems, budget)
        if costs is not None:
            surprises[agent] = costs
    return Discovery(
        k=k,
        budget=budget,
        unseen=len(unseen),
        questions=len(questions),
        placebo=placebo,
        origins=counts,
        gains={contrast.first: contrast for contrast in family},
        surprises=surprises,
    )


def claim(gain: Contrast) -> str:
    """What is shown of one agent, and never more."""
    if gain.low <= 0:
        return "no discovery beyond the placebo shown"
    interval = f"[{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
    return f"solves {100 * gain.value:+.1f} points {interval} more than the placebo of what no base sample has solved"
