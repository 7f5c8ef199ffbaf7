"""What the samples of a suite show: estimates, paired differences, and the sentence that they support."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from reasonenv.core import Reason
from reasonenv.evaluate.comparisons import Band, Spread, band, spread
from reasonenv.evaluate.diversity import distinct, diversity, drift
from reasonenv.evaluate.ledger import Origin, origins
from reasonenv.evaluate.metrics import GREEDY, Scores, Summary, scores
from reasonenv.evaluate.report.load import Cell, Suite
from reasonenv.evaluate.samples import EVALUATION, Sample
from reasonenv.evaluate.stats import Estimate, Floats, mean_interval, paired_difference

HEADLINE = GREEDY
CROWD = 6  # of more agents than this, a sentence has the names alone


@dataclass(frozen=True)
class Difference:
    """Greedy accuracy of `agent` minus that of `other`, paired by problem and by seed."""

    agent: str
    other: str
    estimate: Estimate  # for these trained policies, on other problems
    spread: Spread  # for other seeds too
    seeds: Mapping[int, float]  # the difference within each seed


@dataclass(frozen=True)
class Finding:
    """One agent in one setting, over the seeds that are done."""

    agent: str
    cells: Sequence[Cell]  # done and evaluated, by seed
    summary: Summary  # seeds averaged within each problem
    by_seed: Mapping[int, Mapping[str, float]]
    diversity: Summary  # as `summary`, of `evaluate.diversity`
    distinct: Summary  # the same, different solution paths
    drift: Summary  # the same, nats per token
    origins: Mapping[Origin, int]  # solved problems by where they stood before training, over seeds
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
    problems: int
    ks: tuple[int, ...]
    cells: Sequence[Cell]  # all, whatever their state
    findings: Sequence[Finding]  # baseline first
    against: Mapping[str, Difference]  # agent -> difference to the baseline
    between: Sequence[Difference]  # agents among themselves, the better one first
    passes: Mapping[str, Band]  # agent -> its pass@k over `ks`
    gains: Mapping[str, Band]  # agent -> its pass@k minus that of the baseline
    missing: Sequence[str]  # what a complete suite would have and this one has not

    @property
    def name(self) -> str:
        variant = f", {self.variant}" if self.variant else ""
        return f"{self.env}{variant}, {self.policy} from {self.init}"


def settings(suite: Suite) -> list[Setting]:
    """The findings of a suite, one entry for each (environment, policy, init, variant), as the suite has them."""
    groups: dict[tuple[str, str, str, str], list[Cell]] = defaultdict(list)
    for cell in suite.cells:
        groups[cell.setting].append(cell)
    return [_setting(suite, cells) for cells in groups.values()]


def _setting(suite: Suite, cells: list[Cell]) -> Setting:
    usable = [cell for cell in cells if cell.samples]
    drawn = [sum(not s.greedy for s in cell.samples) / len({s.problem_id for s in cell.samples}) for cell in usable]
    fewest = min(filter(None, drawn), default=0)  # a floor or ceiling may have one answer alone
    ks = tuple(k for k in suite.ks if k <= fewest)
    agents = sorted({c.agent for c in usable}, key=lambda a: (a != suite.baseline, a not in suite.references, a))
    tables = {
        (cell.agent, cell.seed): scores(cell.samples, ks if own else ())
        for cell, own in zip(usable, drawn, strict=True)
    }
    before = {cell.seed: cell.samples for cell in usable if cell.agent == suite.baseline}
    findings = [
        _finding(agent, [c for c in usable if c.agent == agent], tables, before, ks, start=agent == suite.baseline)
        for agent in agents
    ]
    curves = {agent: c for agent in agents if (c := _curves(tables, agent, ks)) is not None}
    trained = [agent for agent in agents if agent not in (suite.baseline, *suite.references)]
    against = {a: d for a in trained if (d := difference(tables, a, suite.baseline)) is not None}
    between = []
    for pair in combinations(trained, 2):
        found = difference(tables, *pair)
        if found is not None:
            between.append(found if found.estimate.value >= 0 else difference(tables, pair[1], pair[0]) or found)
    return Setting(
        env=cells[0].env,
        policy=cells[0].policy,
        init=cells[0].init,
        variant=cells[0].variant,
        baseline=suite.baseline,
        references=suite.references,
        problems=len({s.problem_id for cell in usable for s in cell.samples}),
        ks=ks,
        cells=sorted(cells, key=lambda cell: (cell.agent != suite.baseline, cell.agent, cell.seed)),
        findings=findings,
        against=against,
        between=between,
        passes={agent: band(list(curve.values())) for agent, curve in curves.items()},
        gains={agent: g for agent in trained if (g := _gain(curves, agent, suite.baseline)) is not None},
        missing=_missing(suite.baseline, cells),
    )


def _curves(tables: Mapping[tuple[str, int], Scores], agent: str, ks: Sequence[int]) -> dict[str, Floats] | None:
    """Problem -> its pass@k over `ks`, mean over seeds; None if fewer than two problems have all of them.  # [K]"""
    mine = [table for (name, _), table in tables.items() if name == agent]
    whole = [set.intersection(*(set(table.get(f"pass@{k}", {})) for k in ks)) for table in mine if ks]
    shared = sorted(set.intersection(*whole)) if whole else []
    if len(shared) < 2:
        return None
    return {p: np.array([np.mean([table[f"pass@{k}"][p] for table in mine]) for k in ks]) for p in shared}


def _gain(curves: Mapping[str, Mapping[str, Floats]], agent: str, baseline: str) -> Band | None:
    mine, theirs = curves.get(agent, {}), curves.get(baseline, {})
    shared = sorted(mine.keys() & theirs.keys())
    return band([mine[p] - theirs[p] for p in shared]) if len(shared) > 1 else None


def _summary(tables: Sequence[Scores], *, low: float = 0.0, high: float = 1.0) -> Summary:
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
    agent: str,
    cells: list[Cell],
    tables: Mapping[tuple[str, int], Scores],
    before: Mapping[int, Sequence[Sample]],
    ks: Sequence[int],
    *,
    start: bool,
) -> Finding:
    """Of the `start` of all others, what it has moved away from itself is of no interest."""
    cells = sorted(cells, key=lambda cell: cell.seed)
    mine = [tables[agent, cell.seed] for cell in cells]
    sampled = [s for cell in cells for s in cell.samples if not s.greedy] or [s for c in cells for s in c.samples]
    counts = Counter(sample.reason for sample in sampled)
    known = [reason.value for reason in Reason]
    moved = _summary([drift(cell.samples) for cell in cells], low=-math.inf, high=math.inf)
    order = [*known, *sorted(set(counts) - set(known))]
    return Finding(
        agent=agent,
        cells=cells,
        summary=_summary(mine),
        diversity=_summary([diversity(cell.samples) for cell in cells]),
        distinct=_summary([distinct(cell.samples, ks) for cell in cells], high=max(ks, default=1)),
        drift={metric: e for metric, e in moved.items() if not (start and metric == "kl")},
        origins=Counter(o for cell in cells for o in origins(cell.wins, before.get(cell.seed, ())).values()),
        by_seed={
            cell.seed: {metric: float(np.mean(list(values.values()))) for metric, values in table.items()}
            for cell, table in zip(cells, mine, strict=True)
        },
        reasons={reason: counts[reason] / len(sampled) for reason in order if counts[reason]},
        budget={key: float(np.mean([cell.budget[key] for cell in cells])) for key in cells[0].budget},
    )


def difference(tables: Mapping[tuple[str, int], Scores], agent: str, other: str) -> Difference | None:
    """Over the seeds that both have and the problems scored in all of these; None if there are none."""
    seeds = sorted({seed for name, seed in tables if name == agent} & {seed for name, seed in tables if name == other})
    pairs = [(tables[agent, seed].get(HEADLINE, {}), tables[other, seed].get(HEADLINE, {})) for seed in seeds]
    shared = sorted(set.intersection(*(set(side) for pair in pairs for side in pair))) if pairs else []
    if not shared:
        return None
    a, b = (np.array([[pair[side][problem] for problem in shared] for pair in pairs]) for side in (0, 1))  # [seeds, N]
    by_seed = dict(zip(seeds, (a - b).mean(axis=1).tolist(), strict=True))
    return Difference(agent, other, paired_difference(a, b), spread(a - b), by_seed)


def _missing(baseline: str, cells: Iterable[Cell]) -> list[str]:
    """Seeds and agents span a grid; its empty places, cells that are not done and cells without samples are missing."""
    have = {(cell.agent, cell.seed): cell for cell in cells}
    agents = sorted({agent for agent, _ in have} | {baseline})
    lacking = []
    for agent in agents:
        for seed in sorted({seed for _, seed in have}):
            cell = have.get((agent, seed))
            if cell is None:
                lacking.append(f"{agent}, seed {seed}: not started")
            elif cell.status == "done" and not cell.samples:
                lacking.append(f"{agent}, seed {seed}: done, but without {EVALUATION}")
            elif cell.status != "done":
                lacking.append(f"{agent}, seed {seed}: {cell.status}")
    return lacking


def points(estimate: Estimate) -> str:
    """A difference in percentage points with its interval, such as `+6.5 points [+2.0, +11.0]`."""
    return f"{100 * estimate.value:+.1f} points [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"


def verdict(setting: Setting) -> str:
    """One sentence about greedy accuracy that says no more than the 95 % intervals do."""
    against, baseline = setting.against, setting.baseline
    if not against:
        return f"No agent can be compared with {baseline} yet: that takes an evaluated cell of each with the same seed."
    above = [a for a, d in against.items() if d.estimate.low > 0]
    below = [a for a, d in against.items() if d.estimate.high < 0]
    level = [a for a in against if a not in above and a not in below]
    clauses = []
    for group, verb in ((above, "better than"), (below, "worse than"), (level, "not distinguishable from")):
        if group:
            be = "is" if len(group) == 1 else "are"
            shown = ", ".join(f"{a} {points(against[a].estimate)}" for a in group)
            figures = f" ({shown})" if len(against) <= CROWD else ""  # of many agents the table tells them
            clauses.append(f"{_listed(group)} {be} {verb} {baseline}{figures}")
    if setting.between:
        clauses.append(_lead(setting))
    return f"In greedy accuracy on {setting.problems} held-out problems, " + "; ".join(clauses) + "."


def _lead(setting: Setting) -> str:
    """How the highest agent stands to each of the others; with more than two, the other pairs are left to the table."""
    many = len(setting.against) > CROWD
    best = max(setting.against, key=lambda agent: setting.against[agent].estimate.value)
    beaten, level, above = [], [], []
    for d in (d for d in setting.between if best in (d.agent, d.other)):
        rival = d.other if d.agent == best else d.agent
        if not d.estimate.excludes_zero:
            level.append(rival if many else f"{rival} ({d.agent} {points(d.estimate)})")
        elif d.agent == best:
            beaten.append(rival if many else f"{rival} by {points(d.estimate)}")
        else:  # over the seeds of this pair the order can differ from that over the seeds of the baseline
            above.append(rival if many else f"{rival} by {points(d.estimate)}")
    groups = (("exceeds", beaten), ("cannot be told apart from", level), ("is exceeded by", above))
    return f"{best} {'; it '.join(f'{verb} {_listed(rivals)}' for verb, rivals in groups if rivals)}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
