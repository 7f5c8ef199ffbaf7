"""What the samples of a suite show: estimates, paired differences, and the sentence that they support."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean

import numpy as np

from reasonenv.core import Reason
from reasonenv.measures.comparisons import Contrast, SeedScores, complete, contrasts, question_means, row_means
from reasonenv.measures.conclusions import SATURATED, Conclusions, conclude
from reasonenv.measures.discovery import Discovery, Draws, discovery
from reasonenv.measures.diversity import distinct, diversity, drift
from reasonenv.measures.metrics import GREEDY, Scores, Summary, scores
from reasonenv.measures.provenance import SolvedProblem
from reasonenv.measures.questions import HeldOutProblem, by_question
from reasonenv.measures.samples import EVALUATION, Samples
from reasonenv.measures.training_set import SetDiversity, Solution, set_diversity
from reasonenv.report.load import Cell, Suite
from reasonenv.stats import Estimate, mean_interval

HEADLINE = GREEDY

Place = tuple[str, int]  # agent, training seed
Tables = Mapping[Place, Scores]
RowMeans = Mapping[str, Mapping[str, Estimate]]  # metric -> row -> its mean


@dataclass(frozen=True)
class Finding:
    """One agent in one setting, over the seeds that are done."""

    agent: str
    cells: Sequence[Cell]  # done and evaluated, by seed
    summary: Summary  # means over questions and seeds, with both in the interval
    by_seed: Mapping[int, Mapping[str, float]]
    diversity: Summary  # as `summary`, of `evaluate.diversity`
    distinct: Summary  # the same, different solution paths
    drift: Summary  # the same, nats per token
    reasons: Mapping[str, float]  # share of each verdict reason among sampled answers
    budget: Mapping[str, float]  # mean over seeds


@dataclass(frozen=True)
class Setting:
    """One environment, variant of it and initial policy: agents that can be compared with each other."""

    env: str
    policy: str
    init: str
    variant: str
    baseline: str
    references: tuple[str, ...]  # rows that are no agents
    problems: Mapping[str, HeldOutProblem]  # by problem id
    questions: int  # different ones
    ks: tuple[int, ...]
    cells: Sequence[Cell]  # all, whatever their state
    findings: Sequence[Finding]  # baseline first
    conclusions: Mapping[str, Conclusions]  # by metric: greedy accuracy, and pass@k at the largest k
    discovery: Discovery | None  # what the initial policy knew of what each row solves; None without a base budget
    diversities: Mapping[str, Mapping[str, Contrast]]  # measure -> agent -> agent minus baseline on the same questions
    training_sets: Sequence[SetDiversity]  # of the agents that imitate a set
    missing: Sequence[str]  # what a complete suite would have and this one has not
    notice: str  # what is wrong with the initial policy, if something is
    provenance: str  # how the settings of the agents were chosen

    @property
    def name(self) -> str:
        start = f"{self.policy} from {self.init}" if self.init else self.policy
        return ", ".join(filter(None, (self.env, self.variant, start)))

    @property
    def rows(self) -> list[Finding]:
        """The initial policy and the agents."""
        return [finding for finding in self.findings if finding.agent not in self.references]

    @property
    def reference_lines(self) -> list[Finding]:
        """The floor and the ceilings between which the rows lie: ways to answer of the initial policy, no agents."""
        return [finding for finding in self.findings if finding.agent in self.references]

    @property
    def headline(self) -> Conclusions:
        """Who is better in greedy accuracy."""
        return self.conclusions[HEADLINE]

    @property
    def at_largest_k(self) -> Conclusions | None:
        """Who is better in pass@k at the largest k above 1, if samples were drawn."""
        return self.conclusions.get(f"pass@{self.ks[-1]}") if self.ks and self.ks[-1] > 1 else None


def settings(suite: Suite) -> list[Setting]:
    """The findings of a suite, one entry for each (environment, policy, init, variant), as the suite has them."""
    groups: dict[tuple[str, str, str, str], list[Cell]] = defaultdict(list)
    for cell in suite.cells:
        groups[cell.setting].append(cell)
    return [_setting(suite, cells) for cells in groups.values()]


def _setting(suite: Suite, cells: list[Cell]) -> Setting:
    evaluated = [cell for cell in cells if len(cell.samples)]
    ks = _usable_ks(suite, evaluated)
    problems = dict(suite.questions)
    for cell in cells:  # in another environment or variant one id may be another question
        problems.update(cell.questions)
    scored: dict[Place, Scores] = {}
    for cell in evaluated:
        usable_ks = ks if cell.samples.drawn else ()
        scored[cell.agent, cell.seed] = _by_question(scores(cell.samples, usable_ks), problems)
    tables = _on_the_same_questions(scored)
    usable = [cell for cell in evaluated if (cell.agent, cell.seed) in tables]
    diverse, different = dict[Place, Scores](), dict[Place, Scores]()
    for cell in usable:
        diverse[cell.agent, cell.seed] = _by_question(diversity(cell.samples), problems)
        different[cell.agent, cell.seed] = _by_question(distinct(cell.samples, ks), problems)
    fixed = {suite.baseline, *suite.references}
    summaries = _Summaries(
        _summaries(tables, fixed), _summaries(diverse, fixed), _summaries(different, fixed, high=max(ks, default=1))
    )
    agents = {cell.agent for cell in evaluated}
    order = sorted(agents, key=lambda agent: (agent != suite.baseline, agent not in suite.references, agent))
    questions = set[str]()
    for table in tables.values():
        questions.update(*table.values())
    return Setting(
        env=cells[0].env,
        policy=cells[0].policy,
        init=cells[0].init,
        variant=cells[0].variant,
        baseline=suite.baseline,
        references=suite.references,
        problems=problems,
        questions=len(questions),
        ks=ks,
        cells=sorted(cells, key=lambda cell: (cell.agent != suite.baseline, cell.agent, cell.seed)),
        findings=[_finding(suite, agent, usable, tables, summaries) for agent in order],
        conclusions=_conclusions(suite, tables, ks),
        discovery=_discovery(suite, usable, ks, problems),
        diversities=_against_baseline(diverse, suite),
        training_sets=set_diversity(_training_sets(cells)),
        missing=[*_missing(suite, cells), *_unjudged(scored)],
        notice=suite.notices.get((cells[0].env, cells[0].init, cells[0].variant), ""),
        provenance=suite.provenance,
    )


def _usable_ks(suite: Suite, evaluated: Sequence[Cell]) -> tuple[int, ...]:
    """The k of the suite for which every row that has samples has enough of them."""
    usable = suite.ks
    for cell in evaluated:
        drawn = np.count_nonzero(~cell.samples.greedy) / len(cell.samples.problems)
        if drawn:  # a floor or ceiling may have one answer alone
            usable = usable[: bisect_right(usable, drawn)]
    return usable if any(cell.samples.drawn for cell in evaluated) else ()


def _by_question(table: Scores, problems: Mapping[str, HeldOutProblem]) -> Scores:
    """Every metric of every question: problems that ask the same question count once."""
    return {metric: by_question(values, problems) for metric, values in table.items()}


def _metrics(tables: Tables) -> list[str]:
    """The metrics that some table has, as they first occur."""
    metrics: dict[str, None] = {}
    for table in tables.values():
        metrics.update(dict.fromkeys(table))
    return list(metrics)


def _metric(tables: Tables, metric: str) -> SeedScores:
    """Row -> seed -> question -> score, of the rows that have the metric."""
    rows: dict[str, dict[int, Mapping[str, float]]] = defaultdict(dict)
    for (agent, seed), table in tables.items():
        if metric in table:
            rows[agent][seed] = table[metric]
    return rows


def _summaries(tables: Tables, fixed: Collection[str], *, high: float = 1.0) -> RowMeans:
    """The mean of every metric in [0, `high`] over questions and seeds."""
    return {metric: row_means(_metric(tables, metric), fixed=fixed, high=high) for metric in _metrics(tables)}


def _on_the_same_questions(tables: Tables) -> dict[Place, Scores]:
    """The tables with each metric on the questions that all rows have it of, without seeds that lack too many."""
    same: dict[Place, dict[str, Mapping[str, float]]] = {place: {} for place in tables}
    for metric in _metrics(tables):
        for agent, seeds in complete(_metric(tables, metric)).rows.items():
            for seed, values in seeds.items():
                same[agent, seed][metric] = values
    return {place: table for place, table in same.items() if table}


def _unjudged(tables: Tables) -> list[str]:
    """What the verifier's failures have cost the greedy accuracy."""
    whole = complete(_metric(tables, HEADLINE))
    lines = []
    for agent, seeds in whole.unjudged.items():
        for seed in seeds:
            lines.append(f"{agent}, seed {seed}: too many answers could not be judged, left out")
    if whole.dropped:
        lines.append(f"{whole.dropped} questions to which some row has no judged answer")
    return lines


def _conclusions(suite: Suite, tables: Tables, ks: Sequence[int]) -> dict[str, Conclusions]:
    """Of greedy accuracy and of pass@k at the largest k."""
    saturations: dict[str, float | None] = {HEADLINE: None}
    if ks and ks[-1] > 1:
        saturations[f"pass@{ks[-1]}"] = SATURATED
    conclusions = {}
    for metric, saturation in saturations.items():
        conclusions[metric] = conclude(
            _metric(tables, metric),
            metric=metric,
            baseline=suite.baseline,
            references=suite.references,
            margin=suite.margin,
            saturation=saturation,
        )
    return conclusions


def _against_baseline(tables: Tables, suite: Suite) -> dict[str, dict[str, Contrast]]:
    """Of every metric, agents minus the baseline on the questions that both have: metric -> agent -> contrast."""
    fixed = {suite.baseline, *suite.references}
    differences = {}
    for metric in _metrics(tables):
        rows = _metric(tables, metric)
        pairs = [(agent, suite.baseline) for agent in rows if agent not in fixed and suite.baseline in rows]
        differences[metric] = {contrast.first: contrast for contrast in contrasts(rows, pairs, fixed=fixed)}
    return differences


def _discovery(
    suite: Suite, usable: Sequence[Cell], ks: Sequence[int], problems: Mapping[str, HeldOutProblem]
) -> Discovery | None:
    """Of all rows that are agents, and of the baseline as their placebo."""
    shown = [cell for cell in usable if cell.agent not in suite.references]
    rows: dict[str, dict[int, Samples]] = defaultdict(dict)
    solved: dict[str, list[SolvedProblem]] = defaultdict(list)
    base: Sequence[Draws] = ()
    for cell in sorted(shown, key=lambda cell: (cell.agent != suite.baseline, cell.agent)):
        rows[cell.agent][cell.seed] = cell.samples
        solved[cell.agent] += cell.solved
        base = base or cell.base

    def mean(values: Mapping[str, float]) -> Mapping[str, float]:
        return by_question(values, problems)

    return discovery(rows, solved, base, k=max(ks, default=0), placebo=suite.baseline, by_question=mean)


def _training_sets(cells: Iterable[Cell]) -> dict[str, dict[int, Sequence[Solution]]]:
    """Agent -> seed -> the set that it has imitated."""
    sets: dict[str, dict[int, Sequence[Solution]]] = defaultdict(dict)
    for cell in cells:
        if cell.training_set:
            sets[cell.agent][cell.seed] = cell.training_set
    return sets


def _drift(cells: Iterable[Cell]) -> dict[str, Estimate]:
    """The mean over problems of every measure of `drift`, seeds averaged within each problem."""
    seeds: dict[str, dict[int, Mapping[str, float]]] = defaultdict(dict)
    for cell in cells:
        for measure, values in drift(cell.samples).items():
            seeds[measure][cell.seed] = values
    means = {}
    for measure, by_seed in seeds.items():
        means[measure] = mean_interval(list(question_means(by_seed).values()), low=-math.inf, high=math.inf)
    return means


@dataclass(frozen=True)
class _Summaries:
    scores: RowMeans
    diversity: RowMeans
    distinct: RowMeans


def _finding(suite: Suite, agent: str, usable: Sequence[Cell], tables: Tables, summaries: _Summaries) -> Finding:
    cells = sorted((cell for cell in usable if cell.agent == agent), key=lambda cell: cell.seed)
    drifts = _drift(cells)
    if agent == suite.baseline:
        drifts.pop("kl", None)  # what it has moved away from itself is of no interest
    return Finding(
        agent=agent,
        cells=cells,
        summary=_row(summaries.scores, agent),
        diversity=_row(summaries.diversity, agent),
        distinct=_row(summaries.distinct, agent),
        drift=drifts,
        by_seed={cell.seed: _means(tables[agent, cell.seed]) for cell in cells},
        reasons=_reasons(cells),
        budget=_mean_budget(cells),
    )


def _mean_budget(cells: Sequence[Cell]) -> dict[str, float]:
    budget = {}
    for key in cells[0].budget:
        budget[key] = fmean(cell.budget[key] for cell in cells)
    return budget


def _row(means: RowMeans, agent: str) -> Summary:
    return {metric: rows[agent] for metric, rows in means.items() if agent in rows}


def _reasons(cells: Sequence[Cell]) -> dict[str, float]:
    """The share of each verdict reason among the sampled answers, or all if none is sampled; known reasons first."""
    sampled = any(cell.samples.drawn for cell in cells)
    counts = Counter[str]()
    for cell in cells:
        samples = cell.samples
        places = samples.reason[~(samples.greedy & sampled)]
        for reason, count in zip(samples.reasons, np.bincount(places, minlength=len(samples.reasons)), strict=True):
            counts[reason] += int(count)
    order = dict.fromkeys([*map(str, Reason), *sorted(counts)])
    return {reason: counts[reason] / counts.total() for reason in order if counts[reason]}


def _means(table: Scores) -> dict[str, float]:
    """Metric -> its mean over questions."""
    return {metric: fmean(values.values()) for metric, values in table.items()}


def _missing(suite: Suite, cells: Iterable[Cell]) -> list[str]:
    """Agents and seeds span a grid; its empty places, cells that are not done and cells without samples are missing."""
    fixed = {suite.baseline, *suite.references}
    by_place: dict[Place, Cell] = {}
    agents, seeds = set[str](), set[int]()
    for cell in cells:
        by_place[cell.agent, cell.seed] = cell
        if cell.agent not in fixed:
            agents.add(cell.agent)
            seeds.add(cell.seed)
    places = sorted(place for place in by_place if place[0] in fixed)
    for place in product(sorted(agents), sorted(seeds)):
        if suite.grid or place in by_place:
            places.append(place)
    missing = []
    if suite.grid and all(agent != suite.baseline for agent, _ in by_place):
        missing.append(f"{suite.baseline}: not started")
    for agent, seed in places:
        state = _unfinished(by_place.get((agent, seed)))
        if state:
            missing.append(f"{agent}, seed {seed}: {state}")
    return missing


def _unfinished(cell: Cell | None) -> str:
    """What a cell lacks; nothing, if it is done and evaluated."""
    if cell is None:
        return "not started"
    if cell.status != "done":
        return cell.status
    return "" if len(cell.samples) else f"done, but without {EVALUATION}"
