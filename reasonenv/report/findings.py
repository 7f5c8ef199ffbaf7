"""What the samples of a suite show: estimates, paired differences, and the sentence that they support."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from reasonenv.core import Reason
from reasonenv.measures.comparisons import Contrast, SeedScores, complete, contrasts, row_means
from reasonenv.measures.conclusions import SATURATED, Conclusions, conclude
from reasonenv.measures.discovery import Discovery, discovery
from reasonenv.measures.diversity import distinct, diversity, drift
from reasonenv.measures.metrics import GREEDY, Scores, Summary, scores
from reasonenv.measures.provenance import Win
from reasonenv.measures.questions import Asked, by_question
from reasonenv.measures.samples import EVALUATION, Sample
from reasonenv.measures.training_set import SetDiversity, Solution, set_diversity
from reasonenv.report.load import Cell, Suite
from reasonenv.stats import Estimate, mean_interval

HEADLINE = GREEDY


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
    asked: Mapping[str, Asked]  # by problem id
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
        variant = f", {self.variant}" if self.variant else ""
        start = f"{self.policy} from {self.init}" if self.init else self.policy
        return f"{self.env}{variant}, {start}"

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
    usable = [cell for cell in cells if cell.samples]
    ks = _usable_ks(suite, usable)
    agents = sorted({c.agent for c in usable}, key=lambda a: (a != suite.baseline, a not in suite.references, a))
    asked = dict(suite.questions)
    for cell in cells:  # in another environment or variant one id may be another question
        asked.update(cell.questions)
    every = {(cell.agent, cell.seed): _scores(cell, ks, asked) for cell in usable}
    tables = _on_the_same_questions(every)
    usable = [cell for cell in usable if (cell.agent, cell.seed) in tables]
    fixed = {suite.baseline, *suite.references}
    summaries = _summaries(tables, fixed)
    diverse = {(cell.agent, cell.seed): _by_question(diversity(cell.samples), asked) for cell in usable}
    diversities = _summaries(diverse, fixed)
    different = {(cell.agent, cell.seed): _by_question(distinct(cell.samples, ks), asked) for cell in usable}
    distincts = _summaries(different, fixed, high=max(ks, default=1))
    findings = [_finding(suite, agent, usable, tables, summaries, diversities, distincts) for agent in agents]
    return Setting(
        env=cells[0].env,
        policy=cells[0].policy,
        init=cells[0].init,
        variant=cells[0].variant,
        baseline=suite.baseline,
        references=suite.references,
        asked=asked,
        questions=len(set().union(*(values for table in tables.values() for values in table.values()))),
        ks=ks,
        cells=sorted(cells, key=lambda cell: (cell.agent != suite.baseline, cell.agent, cell.seed)),
        findings=findings,
        conclusions=_conclusions(suite, tables, ks),
        discovery=_discovery(suite, usable, ks, asked),
        diversities=_against_baseline(diverse, suite),
        training_sets=set_diversity(_training_sets(cells)),
        missing=[*_missing(suite, cells), *_unjudged(every)],
        notice=suite.notices.get((cells[0].env, cells[0].init, cells[0].variant), ""),
        provenance=suite.provenance,
    )


def _usable_ks(suite: Suite, usable: Sequence[Cell]) -> tuple[int, ...]:
    """The k of the suite for which every row that has samples has enough of them."""
    drawn = [_samples_a_problem(cell.samples) for cell in usable]
    fewest = min(filter(None, drawn), default=0)  # a floor or ceiling may have one answer alone
    return tuple(k for k in suite.ks if k <= fewest)


def _samples_a_problem(samples: Sequence[Sample]) -> float:
    return sum(not sample.greedy for sample in samples) / len({sample.problem_id for sample in samples})


def _scores(cell: Cell, ks: Sequence[int], asked: Mapping[str, Asked]) -> Scores:
    """Every metric of every question: problems that ask the same question count once."""
    drawn = any(not sample.greedy for sample in cell.samples)
    table = scores(cell.samples, ks if drawn else ())
    return _by_question(table, asked)


def _by_question(table: Scores, asked: Mapping[str, Asked]) -> Scores:
    return {metric: by_question(values, asked) for metric, values in table.items()}


def _metric(tables: Mapping[tuple[str, int], Scores], metric: str) -> SeedScores:
    """Row -> seed -> question -> score, of the rows that have the metric."""
    rows: dict[str, dict[int, Mapping[str, float]]] = defaultdict(dict)
    for (agent, seed), table in tables.items():
        if metric in table:
            rows[agent][seed] = table[metric]
    return rows


def _summaries(
    tables: Mapping[tuple[str, int], Scores], fixed: Collection[str], *, high: float = 1.0
) -> dict[str, dict[str, Estimate]]:
    """Metric in [0, `high`] -> row -> its mean over questions and seeds."""
    metrics = dict.fromkeys(metric for table in tables.values() for metric in table)
    return {metric: row_means(_metric(tables, metric), fixed=fixed, high=high) for metric in metrics}


def _on_the_same_questions(tables: Mapping[tuple[str, int], Scores]) -> dict[tuple[str, int], Scores]:
    """The tables with each metric on the questions that all rows have it of, without seeds that lack too many."""
    same: dict[tuple[str, int], dict[str, Mapping[str, float]]] = {place: {} for place in tables}
    for metric in dict.fromkeys(metric for table in tables.values() for metric in table):
        for agent, seeds in complete(_metric(tables, metric)).rows.items():
            for seed, values in seeds.items():
                same[agent, seed][metric] = values
    return {place: table for place, table in same.items() if table}


def _unjudged(tables: Mapping[tuple[str, int], Scores]) -> list[str]:
    """What the verifier's failures have cost the greedy accuracy."""
    whole = complete(_metric(tables, HEADLINE))
    lines = []
    for agent, seeds in whole.unjudged.items():
        lines += [f"{agent}, seed {seed}: too many answers could not be judged, left out" for seed in seeds]
    if whole.dropped:
        lines.append(f"{whole.dropped} questions to which some row has no judged answer")
    return lines


def _conclusions(suite: Suite, tables: Mapping[tuple[str, int], Scores], ks: Sequence[int]) -> dict[str, Conclusions]:
    """Of greedy accuracy and of pass@k at the largest k."""
    metrics: dict[str, float | None] = {HEADLINE: None}
    if ks and ks[-1] > 1:
        metrics[f"pass@{ks[-1]}"] = SATURATED
    return {
        metric: conclude(
            _metric(tables, metric),
            metric=metric,
            baseline=suite.baseline,
            references=suite.references,
            margin=suite.margin,
            saturation=saturation,
        )
        for metric, saturation in metrics.items()
    }


def _against_baseline(tables: Mapping[tuple[str, int], Scores], suite: Suite) -> dict[str, dict[str, Contrast]]:
    """Of every metric, agents minus the baseline on the questions that both have: metric -> agent -> contrast."""
    fixed = {suite.baseline, *suite.references}
    differences = {}
    for metric in dict.fromkeys(metric for table in tables.values() for metric in table):
        rows = _metric(tables, metric)
        pairs = [(agent, suite.baseline) for agent in rows if agent not in fixed and suite.baseline in rows]
        differences[metric] = {c.first: c for c in contrasts(rows, pairs, fixed=fixed)}
    return differences


def _discovery(suite: Suite, usable: Sequence[Cell], ks: Sequence[int], asked: Mapping[str, Asked]) -> Discovery | None:
    """Of all rows that are agents, and of the baseline as their placebo."""
    rank = {cell.agent: (cell.agent != suite.baseline, cell.agent) for cell in usable}
    shown = [cell for cell in sorted(usable, key=lambda c: rank[c.agent]) if cell.agent not in suite.references]
    rows: dict[str, dict[int, Sequence[Sample]]] = defaultdict(dict)
    wins: dict[str, list[Win]] = defaultdict(list)
    for cell in shown:
        rows[cell.agent][cell.seed] = cell.samples
        wins[cell.agent] += cell.wins
    return discovery(
        rows,
        wins,
        next((cell.base for cell in shown if cell.base), ()),
        k=max(ks, default=0),
        placebo=suite.baseline,
        by_question=lambda values: by_question(values, asked),
    )


def _training_sets(cells: Iterable[Cell]) -> dict[str, dict[int, Sequence[Solution]]]:
    """Agent -> seed -> the set that it has imitated."""
    sets: dict[str, dict[int, Sequence[Solution]]] = defaultdict(dict)
    for cell in cells:
        if cell.training_set:
            sets[cell.agent][cell.seed] = cell.training_set
    return sets


def _summary(tables: Sequence[Scores], *, low: float = 0.0, high: float = 1.0) -> dict[str, Estimate]:
    """The mean over problems of every metric in [low, high], seeds averaged within each problem."""
    summary = {}
    for metric in dict.fromkeys(metric for table in tables for metric in table):
        values: dict[str, list[float]] = defaultdict(list)  # problem -> one value a seed
        for table in tables:
            for problem, value in table.get(metric, {}).items():
                values[problem].append(value)
        summary[metric] = mean_interval([float(np.mean(v)) for v in values.values()], low=low, high=high)
    return summary


def _finding(
    suite: Suite,
    agent: str,
    usable: Sequence[Cell],
    tables: Mapping[tuple[str, int], Scores],
    summaries: Mapping[str, Mapping[str, Estimate]],
    diversities: Mapping[str, Mapping[str, Estimate]],
    distincts: Mapping[str, Mapping[str, Estimate]],
) -> Finding:
    cells = sorted((cell for cell in usable if cell.agent == agent), key=lambda cell: cell.seed)
    samples = [sample for cell in cells for sample in cell.samples]
    sampled = [sample for sample in samples if not sample.greedy] or samples
    counts = Counter(sample.reason for sample in sampled)
    known = [reason.value for reason in Reason]
    order = [*known, *sorted(set(counts) - set(known))]
    moved = _summary([drift(cell.samples) for cell in cells], low=-math.inf, high=math.inf)
    if agent == suite.baseline:
        moved.pop("kl", None)  # what it has moved away from itself is of no interest
    return Finding(
        agent=agent,
        cells=cells,
        summary={metric: rows[agent] for metric, rows in summaries.items() if agent in rows},
        diversity={measure: rows[agent] for measure, rows in diversities.items() if agent in rows},
        distinct={metric: rows[agent] for metric, rows in distincts.items() if agent in rows},
        drift=moved,
        by_seed={cell.seed: _means(tables[agent, cell.seed]) for cell in cells},
        reasons={reason: counts[reason] / len(sampled) for reason in order if counts[reason]},
        budget={key: fmean(cell.budget[key] for cell in cells) for key in cells[0].budget},
    )


def _means(table: Scores) -> dict[str, float]:
    """Metric -> its mean over questions."""
    return {metric: fmean(values.values()) for metric, values in table.items()}


def _missing(suite: Suite, cells: Iterable[Cell]) -> list[str]:
    """Agents and seeds span a grid; its empty places, cells that are not done and cells without samples are missing."""
    have = {(cell.agent, cell.seed): cell for cell in cells}
    fixed = {suite.baseline, *suite.references}
    agents = sorted({agent for agent, _ in have} - fixed)
    seeds = sorted({seed for agent, seed in have if agent not in fixed})
    expected = [*((agent, seed) for agent, seed in sorted(have) if agent in fixed)]
    expected += [(agent, seed) for agent in agents for seed in seeds if suite.grid or (agent, seed) in have]
    lacking = [f"{suite.baseline}: not started"]
    if not suite.grid or any(agent == suite.baseline for agent, _ in have):
        lacking = []
    for agent, seed in expected:
        cell = have.get((agent, seed))
        if cell is None:
            lacking.append(f"{agent}, seed {seed}: not started")
        elif cell.status == "done" and not cell.samples:
            lacking.append(f"{agent}, seed {seed}: done, but without {EVALUATION}")
        elif cell.status != "done":
            lacking.append(f"{agent}, seed {seed}: {cell.status}")
    return lacking
