"""What may be said about differences between agents: one analysis, from which every sentence, table and command speaks.

A *row* is an agent or a policy, measured once for each of its training seeds on the same questions. The mean of a row
varies with the questions that happen to be asked and with the seeds that happened to be drawn. A `Contrast` is the
difference of two rows with both in its interval, corrected for all pairs of its family:

    value      d = mean_i d_i,    d_i = mean_s y_a[s, i] - mean_s y_b[s, i]
    variance   V = V_questions + c V_seed,    V_questions = var_i(d_i) / N,    c = 1 / S_a + 1 / S_b
    V_seed     = max(0, MS_seeds - MS_residual / N), pooled over all rows: (rows) (S - 1) degrees of freedom
    interval   d -+ q sqrt(V), q of the studentized range of the rows (Tukey 1949; Kramer 1956) or Bonferroni's, if less

MS_seeds is the mean square of the seeds' means. Finitely many questions add MS_residual / N to it; that part is in
V_questions already and would be counted twice. The degrees of freedom of V are Satterthwaite's (1946). The pooling
assumes that seeds vary alike in all rows. A test of that has no power at three or five seeds, so none is made: a row
whose own mean square is `ERRATIC` times the pooled one keeps its own, and one that is `APART` does not count for the
others. Of a row with one seed nothing is known. One interval decides everything, so nothing can contradict it: see
`Contrast.decision`.

A row of `fixed` is one policy and no agent, such as the initial policy from which all seeds start: no other seed could
have made another of it, so it adds no variance of seeds.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit
from scipy.stats import studentized_range

from reasonenv.errors import UserError
from reasonenv.stats import LEVEL, Estimate, Floats, mean_interval

SeedScores = Mapping[str, Mapping[int, Mapping[str, float]]]  # row -> training seed -> question -> score

POWER = 0.8
ERRATIC = 2.5  # times the pooled mean square of seeds, above which a row is not taken to vary like the others
APART = 16.0  # times the others', above which a row is not pooled with them: of equal ones at 3 seeds one in a thousand
JUDGED = 0.95  # share of the questions that a seed must have answers to, or it is left out
MOST_SEEDS = 200  # that anybody would be asked to run
# Degrees of freedom at which critical values are computed, once each; others are rounded down, which widens intervals.
DEGREES = (*range(1, 31), 35, 40, 50, 60, 80, 100, 150, 200, 300, 500, 1000)


class Decision(StrEnum):
    """What one interval says of a difference, given the margin below which differences count as none."""

    HIGHER = "higher"  # the whole interval is above 0
    LOWER = "lower"
    EQUAL = "equal within the margin"  # the interval holds 0 and lies inside the margin
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class SeedVariance:
    """How the mean of a row varies from one training seed to another."""

    mean_square: float  # of the seeds' means: what questions add is in it
    noise: float  # what finitely many questions add
    degrees: float

    @property
    def value(self) -> float:
        """V_seed, without the noise."""
        return max(0.0, self.mean_square - self.noise)


@dataclass(frozen=True)
class Family:
    """The comparisons that are made together."""

    rows: int
    pairs: int

    def critical(self, degrees: float, level: float = LEVEL) -> float:
        """How many standard errors a difference may be off, in all pairs at once, with probability `level`."""
        rounded = _degrees(degrees)
        bonferroni = float(stdtrit(rounded, 1 - (1 - level) / (2 * self.pairs)))
        if self.rows == 2:
            return bonferroni
        return min(bonferroni, _tukey(self.rows, rounded, level))

    def p_value(self, statistic: float, degrees: float) -> float:
        """Two-sided, corrected; the inverse of `critical`."""
        rounded = _degrees(degrees)
        bonferroni = min(1.0, 2 * self.pairs * float(stdtr(rounded, -abs(statistic))))
        if self.rows == 2:
            return bonferroni
        return min(bonferroni, float(studentized_range.sf(abs(statistic) * math.sqrt(2), self.rows, rounded)))


def _degrees(degrees: float) -> int:
    rounded: int = DEGREES[max(bisect_right(DEGREES, degrees) - 1, 0)]
    return rounded


@lru_cache(maxsize=4096)
def _tukey(rows: int, degrees: int, level: float) -> float:
    return float(studentized_range.ppf(level, rows, degrees)) / math.sqrt(2)


@dataclass(frozen=True)
class Contrast:
    """Row `first` minus row `second`, with what other questions and other training seeds would change."""

    first: str
    second: str
    value: float
    levels: tuple[float, float]  # the means of the two rows on their common questions
    by_seed: Mapping[int, float]  # the difference within each seed that both have, or the only one of a fixed row
    questions: int
    seeds: int  # training seeds on each side, the fewer of both; fixed rows do not count
    variance: float  # of the value; infinite if nothing is known of other seeds
    degrees: float  # of freedom, of the variance
    family: Family
    floor: float  # the variance that would be left with any number of seeds
    per_seed: float  # the variance that one seed on each side adds, which more of them divide
    replicated: int  # rows from which the variance of seeds is known

    @property
    def error(self) -> float:
        """The standard error."""
        return math.sqrt(self.variance)

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval."""
        return max(-1.0, self.value - self._half)

    @property
    def high(self) -> float:
        """The upper end of the 95 % interval."""
        return min(1.0, self.value + self._half)

    @property
    def _half(self) -> float:
        return self.family.critical(self.degrees) * self.error if math.isfinite(self.variance) else math.inf

    @property
    def estimate(self) -> Estimate:
        """The value with its interval."""
        return Estimate(self.value, self.low, self.high, self.questions)

    @property
    def p_value(self) -> float:
        """Of no difference, corrected for the family; below 0.05 where the interval excludes 0, and only there."""
        return self.family.p_value(self.value / self.error, self.degrees) if math.isfinite(self.variance) else 1.0

    def decision(self, margin: float) -> Decision:
        """Which of the two is higher, if the interval tells; equal, if it lies within -+ `margin`; else undecided."""
        _check_margin(margin)
        if self.low > 0:
            return Decision.HIGHER
        if self.high < 0:
            return Decision.LOWER
        return Decision.EQUAL if -margin < self.low and self.high < margin else Decision.UNDECIDED

    def reversed(self) -> Contrast:
        """The second row minus the first."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            value=-self.value,
            levels=(self.levels[1], self.levels[0]),
            by_seed={seed: -value for seed, value in self.by_seed.items()},
        )

    @property
    def detectable(self) -> float:
        """The true difference that `POWER` of such experiments would find; infinite if other seeds are unknown."""
        return self._half + float(ndtri(POWER)) * self.error

    def seeds_needed(self, margin: float) -> int | None:
        """Training seeds an agent with which a true difference of `margin` would be found in `POWER` of experiments.

        On as many questions. None if no number up to `MOST_SEEDS` would do, or nothing is known of how seeds vary.
        """
        _check_margin(margin)
        if not math.isfinite(self.per_seed):
            return None
        counts = range(2, MOST_SEEDS + 1)
        place = bisect_left(counts, True, key=lambda seeds: self._reach(seeds) <= margin)
        return counts[place] if place < len(counts) else None

    def _reach(self, seeds: int) -> float:
        """The `detectable` difference if each side had so many seeds."""
        variance = self.floor + self.per_seed / seeds
        parts = [(self.floor, self.questions - 1.0), (self.per_seed / seeds, self.replicated * (seeds - 1.0))]
        standard_errors = self.family.critical(_satterthwaite(variance, parts)) + float(ndtri(POWER))
        return standard_errors * math.sqrt(variance)


def contrasts(
    scores: SeedScores,
    pairs: Sequence[tuple[str, str]],
    *,
    fixed: Collection[str] = (),
    family: int | None = None,
    bound: float = 1.0,
) -> list[Contrast]:
    """The difference of each pair of rows, first minus second, all of them one family.

    Scores lie in [0, `bound`] (or differ by no more than that). A row's questions are those that all its seeds have; a
    pair's those that both rows have; a pair without any is left out. All rows of `scores` that are not `fixed` tell how
    seeds vary, whether or not they are in a pair. `family`: the number of comparisons made together, if there are more
    than the pairs. Raises `UserError` for a score that is out of bounds.
    """
    grids = {name: _grid(name, seeds, bound) for name, seeds in scores.items()}
    random = {name: grid for name, grid in grids.items() if name not in fixed}
    variances = _seed_variances(random)
    replicated = sum(len(grid.seeds) > 1 for grid in random.values())
    compared: dict[tuple[str, str], tuple[_Grid, _Grid]] = {}
    for first, second in pairs:
        shared = _shared(grids[first], grids[second]), _shared(grids[second], grids[first])
        if shared[0].questions:
            compared[first, second] = shared
    rows = len({name for pair in compared for name in pair})
    size = max(len(compared), family or 0, 1)
    if size > rows * (rows - 1) // 2:
        rows = 2  # such comparisons are of several metrics: Bonferroni alone holds for them
    together = Family(rows, size)
    return [_contrast(pair, shared, variances, fixed, together, replicated, bound) for pair, shared in compared.items()]


@dataclass(frozen=True)
class Complete:
    """Rows that have the same questions in every seed, and what was left out to make them so."""

    rows: SeedScores
    unjudged: Mapping[str, Sequence[int]]  # row -> its seeds with too few judged answers
    dropped: int  # questions that some row has no judged answer to


def complete(scores: SeedScores) -> Complete:
    """The scores on the questions that every row has, so that means and differences are of the same questions.

    An answer that could not be judged (a time-out) has no score. A seed with scores for less than `JUDGED` of all
    questions is left out: which answers time out is no accident. Where fewer are missing, a question has the mean of
    the row's other seeds.
    """
    questions = set[str]()
    for seeds in scores.values():
        questions.update(*seeds.values())
    judged: dict[str, dict[int, Mapping[str, float]]] = {}
    unjudged: dict[str, list[int]] = {}
    for name, seeds in scores.items():
        for seed, values in seeds.items():
            if len(values) < JUDGED * len(questions):
                unjudged.setdefault(name, []).append(seed)
            else:
                judged.setdefault(name, {})[seed] = values
    means = {name: question_means(seeds) for name, seeds in judged.items()}
    shared = sorted(questions.intersection(*means.values()))  # a bootstrap depends on their order
    rows: dict[str, dict[int, Mapping[str, float]]] = {}
    for name, seeds in judged.items():
        rows[name] = {}
        for seed, values in seeds.items():
            rows[name][seed] = {question: values.get(question, means[name][question]) for question in shared}
    return Complete(rows, unjudged, len(questions) - len(shared))


def seed_variances(scores: SeedScores, *, fixed: Collection[str] = ()) -> dict[str, SeedVariance]:
    """Of every row that is not `fixed`, how its training seeds vary; empty where no row has two of them."""
    return _seed_variances({name: _grid(name, seeds, math.inf) for name, seeds in scores.items() if name not in fixed})


@dataclass(frozen=True)
class _Grid:
    seeds: tuple[int, ...]
    questions: tuple[str, ...]
    values: Floats  # [S, N]


def _shared(first: _Grid, second: _Grid) -> _Grid:
    """The first with the questions alone that both have."""
    questions = tuple(sorted(set(first.questions).intersection(second.questions)))
    places = [bisect_left(first.questions, question) for question in questions]
    return _Grid(first.seeds, questions, first.values[:, places])


def _grid(name: str, by_seed: Mapping[int, Mapping[str, float]], bound: float) -> _Grid:
    seeds = tuple(sorted(by_seed))
    questions: tuple[str, ...] = ()
    if seeds:
        questions = tuple(sorted(set(by_seed[seeds[0]]).intersection(*by_seed.values())))
    values = np.empty((len(seeds), len(questions)))
    for row, seed in enumerate(seeds):
        values[row] = [by_seed[seed][question] for question in questions]
    if values.size and not (np.abs(values) <= bound + 1e-9).all():
        raise UserError(f"a score of {name} is {values.flat[np.abs(values).argmax()]}; it must be within {bound:g}")
    return _Grid(seeds, questions, values)


def _seed_variances(grids: Mapping[str, _Grid]) -> dict[str, SeedVariance]:
    """Of every row with two seeds or more the variance of seeds: the pooled one, or its own if that is much larger."""
    each = {name: _seed_variance(grid.values) for name, grid in grids.items() if min(grid.values.shape) > 1}
    if not each:
        return {}
    alike = sorted(each.values(), key=lambda variance: variance.mean_square)
    while len(alike) > 2 and alike[-1].mean_square > APART * _pooled(alike[:-1]).mean_square:
        alike.pop()
    pooled = _pooled(alike)
    erratic = {name: variance for name, variance in each.items() if variance.mean_square > ERRATIC * pooled.mean_square}
    return {**dict.fromkeys(each, pooled), **erratic}


def _pooled(variances: Sequence[SeedVariance]) -> SeedVariance:
    """Their mean, weighted by degrees of freedom."""
    total = sum(each.degrees for each in variances)
    mean_square = sum(each.mean_square * each.degrees for each in variances) / total
    noise = sum(each.noise * each.degrees for each in variances) / total
    return SeedVariance(mean_square, noise, total)


def _seed_variance(values: Floats) -> SeedVariance:
    """Two-way analysis of variance without replication of one row.  # [S, N]"""
    seeds, questions = values.shape
    means = values.mean(axis=1)
    residual = values - means[:, None] - values.mean(axis=0) + values.mean()
    mean_square = float(np.square(residual).sum()) / ((seeds - 1) * (questions - 1))
    return SeedVariance(float(means.var(ddof=1)), mean_square / questions, seeds - 1)


def _contrast(
    pair: tuple[str, str],
    grids: tuple[_Grid, _Grid],
    variances: Mapping[str, SeedVariance],
    fixed: Collection[str],
    family: Family,
    replicated: int,
    bound: float,
) -> Contrast:
    """Of grids with the same questions."""
    first, second = grids[0].values, grids[1].values  # [S, n], [S', n]
    difference = first.mean(axis=0) - second.mean(axis=0)  # [n]
    by_question = _mean_variance(difference, bound)
    seeds = {name: len(grid.seeds) for name, grid in zip(pair, grids, strict=True) if name not in fixed}
    known = seeds.keys() <= variances.keys()
    terms: dict[SeedVariance, float] = {}  # one that is pooled counts once
    residual = 0.0  # the part of `by_question` that more seeds would divide
    per_seed = 0.0
    for name, count in seeds.items():
        if known:
            terms[variances[name]] = terms.get(variances[name], 0.0) + 1 / count
            residual += variances[name].noise / count
            per_seed += variances[name].value + variances[name].noise
    by_seed = 0.0
    parts = [(by_question, difference.size - 1.0)]
    for term, weight in terms.items():
        by_seed += weight * term.value
        parts.append((weight * term.mean_square, term.degrees))
    variance = by_question + by_seed
    if not known:
        variance = per_seed = math.inf
    return Contrast(
        first=pair[0],
        second=pair[1],
        value=float(difference.mean()),
        levels=(float(first.mean()), float(second.mean())),
        by_seed=_by_seed(grids, pair, fixed),
        questions=difference.size,
        seeds=min(seeds.values(), default=0),
        variance=variance,
        degrees=_satterthwaite(by_question + by_seed, parts),
        family=family,
        floor=max(by_question - residual, by_question / 10),
        per_seed=per_seed,
        replicated=replicated,
    )


def _mean_variance(d: Floats, bound: float) -> float:
    """Variance of the mean of `d` [n] over other questions.

    Two pseudo-questions at plus and minus the largest difference (`bound`, if there is none) enter it and not the mean:
    for 0/1 scores the adjustment of Bonett & Price 2012 (doi 10.3102/1076998611411915), which keeps its level where few
    questions differ and is not 0 where none does.
    """
    reach = float(np.abs(d).max()) or bound
    padded = np.append(d, (reach, -reach))
    return float(padded.var(ddof=1)) / len(padded)


def _satterthwaite(variance: float, parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of (mean square, its degrees of freedom) (Satterthwaite 1946).

    A sum has no fewer than its parts. The rule itself would give fewer where most of a mean square was noise that is
    not part of `variance`.
    """
    below, fewest = 0.0, math.inf
    for part, degrees in parts:
        below += part**2 / max(degrees, 1.0)
        fewest = min(fewest, degrees)
    return max(variance**2 / below, fewest) if below else math.inf


def _by_seed(grids: tuple[_Grid, _Grid], pair: tuple[str, str], fixed: Collection[str]) -> dict[int, float]:
    first, second = (dict(zip(grid.seeds, grid.values.mean(axis=1).tolist(), strict=True)) for grid in grids)
    if pair[1] in fixed:
        level = sum(second.values()) / len(second)
        return {seed: value - level for seed, value in first.items()}
    if pair[0] in fixed:
        level = sum(first.values()) / len(first)
        return {seed: level - value for seed, value in second.items()}
    return {seed: first[seed] - second[seed] for seed in first if seed in second}


def _check_margin(margin: float) -> None:
    if not 0 < margin <= 1:
        raise UserError(f"margin is {margin}; it must be above 0 and at most 1 (0.02 is two points)")


def row_means(
    scores: SeedScores, *, fixed: Collection[str] = (), low: float = 0.0, high: float = 1.0
) -> dict[str, Estimate]:
    """The mean of every row with its 95 % interval over other questions and, where it is no `fixed` row, other seeds.

    Each end is as far off as the two parts together, sqrt(question^2 + seed^2) (the method of variance estimates
    recovery, Zou & Donner 2008). Of a row with one seed and none to learn from, the interval is over questions alone.
    """
    variances = seed_variances(scores, fixed=fixed)
    means = {}
    for name, seeds in scores.items():
        estimate = mean_interval(list(question_means(seeds).values()), low=low, high=high)
        if name in variances:
            seed = variances[name]
            half = float(stdtrit(seed.degrees, (1 + LEVEL) / 2)) * math.sqrt(seed.value / len(seeds))
            below = math.hypot(estimate.value - estimate.low, half)
            above = math.hypot(estimate.high - estimate.value, half)
            ends = max(low, estimate.value - below), min(high, estimate.value + above)
            estimate = Estimate(estimate.value, *ends, estimate.n)
        means[name] = estimate
    return means


def question_means(by_seed: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """The mean over the seeds that have a question."""
    values: dict[str, list[float]] = {}
    for scores in by_seed.values():
        for question, score in scores.items():
            values.setdefault(question, []).append(score)
    alike: dict[int, list[str]] = {}  # by the number of seeds
    for question, each in values.items():
        alike.setdefault(len(each), []).append(question)
    means = dict.fromkeys(values, 0.0)
    for questions in alike.values():
        means.update(zip(questions, np.mean([values[q] for q in questions], axis=1).tolist(), strict=True))
    return means
