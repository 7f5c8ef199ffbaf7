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
from reasonenv.measures.comparisons import Contrast, complete, contrasts, question_means, row_means
from reasonenv.measures.conclusions import SATURATED, Conclusions, conclude
from reasonenv.measures.discovery import Discovery, Draws, discovery
from reasonenv.measures.diversity import distinct, diversity, drift
from reasonenv.measures.metrics import GREEDY, Scores, Summary, scores
from reasonenv.measures.provenance import SolvedProblem
from reasonenv.measures.questions import HeldOutProblem, by_question
from reasonenv.measures.records import BUDGET
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
    diversity: Summary  # as `summary`, of `measures.diversity`
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
        parts = [self.env, self.variant, self.policy]
        if self.init:
            parts[-1] += f" from {self.init}"
        return ", ".join(part for part in parts if part)

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
    record = suite.record
    evaluated = [cell for cell in cells if len(cell.samples)]
    ks = _usable_ks(suite, evaluated)
    problems = dict(suite.questions)
    for cell in cells:  # in another environment or variant one id may be another question
        problems.update(cell.questions)
    scored: dict[Place, Scores] = {}
    for cell in evaluated:
        usable_ks = ks if cell.samples.drawn else ()
        scored[cell.place] = _by_question(scores(cell.samples, usable_ks), problems)
    tables = _on_the_same_questions(scored)
    usable = [cell for cell in evaluated if cell.place in tables]
    diverse, different = dict[Place, Scores](), dict[Place, Scores]()
    for cell in usable:
        diverse[cell.place] = _by_question(diversity(cell.samples), problems)
        different[cell.place] = _by_question(distinct(cell.samples, ks), problems)
    measures = {
        "summary": _summaries(tables, suite.fixed),
        "diversity": _summaries(diverse, suite.fixed),
        "distinct": _summaries(different, suite.fixed, high=max(ks, default=1)),
        "drift": _drifts(usable, record.baseline),
    }
    by_agent: dict[str, list[Cell]] = {cell.agent: [] for cell in evaluated}
    for cell in sorted(usable, key=lambda cell: cell.seed):
        by_agent[cell.agent].append(cell)
    order = sorted(by_agent, key=lambda agent: (agent != record.baseline, agent not in record.references, agent))
    questions = set[str]()
    for table in tables.values():
        questions.update(*table.values())
    env, policy, init, variant = cells[0].setting
    notice = ""
    for each in record.notices:
        if (each.env, each.init, each.variant) == (env, init, variant):
            notice = each.notice
    return Setting(
        env=env,
        policy=policy,
        init=init,
        variant=variant,
        baseline=record.baseline,
        references=record.references,
        problems=problems,
        questions=len(questions),
        ks=ks,
        cells=sorted(cells, key=lambda cell: (cell.agent != record.baseline, cell.agent, cell.seed)),
        findings=[_finding(agent, by_agent[agent], tables, measures) for agent in order],
        conclusions=_conclusions(suite, tables, ks),
        discovery=_discovery(suite, usable, ks, problems),
        diversities=_against_baseline(diverse, suite),
        training_sets=set_diversity(_training_sets(cells)),
        missing=[*_missing(suite, cells), *_unjudged(scored)],
        notice=notice,
        provenance=suite.provenance,
    )


def _usable_ks(suite: Suite, evaluated: Sequence[Cell]) -> tuple[int, ...]:
    """The k of the suite for which every row that has samples has enough of them."""
    usable = suite.record.ks
    for cell in evaluated:
        drawn = np.count_nonzero(cell.samples.sampled) / len(cell.samples.problems)
        if drawn:  # a floor or ceiling may have one answer alone
            usable = usable[: bisect_right(usable, drawn)]
    return usable if any(cell.samples.drawn for cell in evaluated) else ()


def _by_question(table: Scores, problems: Mapping[str, HeldOutProblem]) -> Scores:
    """Every metric of every question: problems that ask the same question count once."""
    return {metric: by_question(values, problems) for metric, values in table.items()}


def _by_metric(tables: Tables) -> dict[str, dict[str, dict[int, Mapping[str, float]]]]:
    """Metric -> row -> seed -> question -> score."""
    metrics: dict[str, dict[str, dict[int, Mapping[str, float]]]] = {}
    for (agent, seed), table in tables.items():
        for metric, values in table.items():
            metrics.setdefault(metric, {}).setdefault(agent, {})[seed] = values
    return metrics


def _summaries(tables: Tables, fixed: Collection[str], *, high: float = 1.0) -> RowMeans:
    """The mean of every metric in [0, `high`] over questions and seeds."""
    means = {}
    for metric, rows in _by_metric(tables).items():
        means[metric] = row_means(rows, fixed=fixed, high=high)
    return means


def _on_the_same_questions(tables: Tables) -> dict[Place, Scores]:
    """The tables with each metric on the questions that all rows have it of, without seeds that lack too many."""
    same: dict[Place, dict[str, Mapping[str, float]]] = {place: {} for place in tables}
    for metric, rows in _by_metric(tables).items():
        for agent, seeds in complete(rows).rows.items():
            for seed, values in seeds.items():
                same[agent, seed][metric] = values
    return {place: table for place, table in same.items() if table}


def _unjudged(tables: Tables) -> list[str]:
    """What the verifier's failures have cost the greedy accuracy."""
    whole = complete(_by_metric(tables).get(HEADLINE, {}))
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
    scored, conclusions = _by_metric(tables), {}
    for metric, saturation in saturations.items():
        conclusions[metric] = conclude(
            scored.get(metric, {}),
            metric=metric,
            baseline=suite.record.baseline,
            references=suite.record.references,
            margin=suite.record.margin,
            saturation=saturation,
        )
    return conclusions


def _against_baseline(tables: Tables, suite: Suite) -> dict[str, dict[str, Contrast]]:
    """Of every metric, agents minus the baseline on the questions that both have: metric -> agent -> contrast."""
    baseline = suite.record.baseline
    differences: dict[str, dict[str, Contrast]] = {}
    for metric, rows in _by_metric(tables).items():
        differences[metric] = {}
        pairs = []
        if baseline in rows:
            pairs = [(agent, baseline) for agent in rows if agent not in suite.fixed]
        for contrast in contrasts(rows, pairs, fixed=suite.fixed):
            differences[metric][contrast.first] = contrast
    return differences


def _discovery(
    suite: Suite, usable: Sequence[Cell], ks: Sequence[int], problems: Mapping[str, HeldOutProblem]
) -> Discovery | None:
    """Of all rows that are agents, and of the baseline as their placebo."""
    baseline = suite.record.baseline
    rows: dict[str, dict[int, Samples]] = defaultdict(dict)
    solved: dict[str, list[SolvedProblem]] = defaultdict(list)
    base: Sequence[Draws] = ()
    for cell in sorted(usable, key=lambda cell: (cell.agent != baseline, cell.agent)):
        if cell.agent not in suite.record.references:
            rows[cell.agent][cell.seed] = cell.samples
            solved[cell.agent] += cell.solved
            base = base or cell.base

    def mean(values: Mapping[str, float]) -> Mapping[str, float]:
        return by_question(values, problems)

    return discovery(rows, solved, base, k=max(ks, default=0), placebo=baseline, by_question=mean)


def _training_sets(cells: Iterable[Cell]) -> dict[str, dict[int, Sequence[Solution]]]:
    """Agent -> seed -> the set that it has imitated."""
    sets: dict[str, dict[int, Sequence[Solution]]] = defaultdict(dict)
    for cell in cells:
        if cell.training_set:
            sets[cell.agent][cell.seed] = cell.training_set
    return sets


def _drifts(usable: Iterable[Cell], baseline: str) -> RowMeans:
    """The mean over problems of every measure of `drift`, seeds averaged within each problem."""
    tables: dict[Place, Scores] = {}
    for cell in sorted(usable, key=lambda cell: cell.seed):
        tables[cell.place] = drift(cell.samples)
    means: dict[str, dict[str, Estimate]] = defaultdict(dict)
    for measure, rows in _by_metric(tables).items():
        for agent, seeds in rows.items():
            if measure != "kl" or agent != baseline:  # what it has moved away from itself is of no interest
                values = list(question_means(seeds).values())
                means[measure][agent] = mean_interval(values, low=-math.inf, high=math.inf)
    return means


def _finding(agent: str, cells: Sequence[Cell], tables: Tables, measures: Mapping[str, RowMeans]) -> Finding:
    by_seed, budget = dict[int, dict[str, float]](), dict[str, float]()
    for cell in cells:
        by_seed[cell.seed] = {metric: fmean(values.values()) for metric, values in tables[cell.place].items()}
    for key in BUDGET:
        budget[key] = fmean(cell.budget[key] for cell in cells)
    means: dict[str, Summary] = {}
    for field, table in measures.items():
        means[field] = {metric: rows[agent] for metric, rows in table.items() if agent in rows}
    return Finding(agent=agent, cells=cells, by_seed=by_seed, reasons=_reasons(cells), budget=budget, **means)


def _reasons(cells: Sequence[Cell]) -> dict[str, float]:
    """The share of each verdict reason among the sampled answers, or all if none is sampled; known reasons first."""
    sampled = any(cell.samples.drawn for cell in cells)
    counts = Counter[str]()
    for cell in cells:
        samples = cell.samples
        places = samples.reason[~(samples.greedy & sampled) & ~samples.selected]
        for reason, count in zip(samples.reasons, np.bincount(places, minlength=len(samples.reasons)), strict=True):
            counts[reason] += int(count)
    shares = {}
    for reason in dict.fromkeys((*Reason, *sorted(counts))):
        if counts[reason]:
            shares[str(reason)] = counts[reason] / counts.total()
    return shares


def _missing(suite: Suite, cells: Iterable[Cell]) -> list[str]:
    """Agents and seeds span a grid; its empty places, cells that are not done and cells without samples are missing."""
    baseline = suite.record.baseline
    by_place: dict[Place, Cell] = {}
    agents, seeds = set[str](), set[int]()
    for cell in cells:
        by_place[cell.place] = cell
        if cell.agent not in suite.fixed:
            agents.add(cell.agent)
            seeds.add(cell.seed)
    places = sorted(place for place in by_place if place[0] in suite.fixed)
    for place in product(sorted(agents), sorted(seeds)):
        if suite.grid or place in by_place:
            places.append(place)
    missing = []
    if suite.grid and all(agent != baseline for agent, _ in by_place):
        missing.append(f"{baseline}: not started")
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
    if not len(cell.samples):
        return f"done, but without {EVALUATION}"
    if cell.updates and not cell.rows:
        return "done, but without rows in metrics.jsonl"
    return ""
