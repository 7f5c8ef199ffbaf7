"""The conclusions of a setting: which agent is better, said once. Page, console and CSV repeat what stands here.

Every pair of one metric is decided by its simultaneous interval (`comparisons.Contrast`), over other questions and
other training seeds. With equal agents, at most one experiment in twenty names any winner.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from reasonenv.measures.comparisons import Contrast, Decision, SeedScores, SeedVariance, contrasts, seed_variances

SATURATED = 0.97  # above it a pass@k leaves no room in which two rows could differ
CROWD = 6  # of more agents than this, a sentence has the names alone


@dataclass(frozen=True)
class Conclusions:
    """All pairs of one metric in one setting, each decided by the same rule."""

    metric: str
    baseline: str
    margin: float  # differences below it count as none
    against: Mapping[str, Contrast]  # agent -> agent minus baseline
    between: Sequence[Contrast]  # agents among themselves, the higher one first
    seed_variances: Mapping[str, SeedVariance]  # agent -> how it varies between its training seeds
    saturation: float | None = None  # level above which two rows cannot be told apart, if there is one

    @property
    def pairs(self) -> list[Contrast]:
        """All of them, those against the baseline first."""
        return [*self.against.values(), *self.between]

    def saturated(self, contrast: Contrast) -> bool:
        """Whether both rows are so near 1 that the metric decides nothing."""
        return self.saturation is not None and min(contrast.levels) > self.saturation

    def decision(self, contrast: Contrast) -> Decision:
        """What is said of a pair."""
        return Decision.UNDECIDED if self.saturated(contrast) else contrast.decision(self.margin)


def conclude(
    scores: SeedScores,
    *,
    metric: str,
    baseline: str,
    references: Collection[str] = (),
    margin: float,
    saturation: float | None = None,
) -> Conclusions:
    """Every agent against the baseline and against every other agent. `references` are rows that are no agents."""
    fixed = {baseline, *references}
    agents = [name for name in scores if name not in fixed]
    rows = {name: seeds for name, seeds in scores.items() if name in agents or name == baseline}
    pairs = [(agent, baseline) for agent in agents if baseline in scores]
    every = contrasts(rows, [*pairs, *combinations(agents, 2)], fixed=fixed)
    against = {contrast.first: contrast for contrast in every if contrast.second == baseline}
    between = [contrast if contrast.value >= 0 else contrast.reversed() for contrast in every[len(against) :]]
    variances = seed_variances(rows, fixed=fixed)
    return Conclusions(metric, baseline, margin, against, between, variances, saturation)


def sentence(conclusions: Conclusions) -> str:
    """What the intervals of one metric support, and no more."""
    absent = f"no agent can be compared with {conclusions.baseline} yet: that takes a judged cell of each"
    if not conclusions.pairs:
        return f"{absent[0].upper()}{absent[1:]}."
    sample = conclusions.pairs[0]
    clauses = [*(_against(conclusions) or [absent]), *_between(conclusions)]
    return f"{_words(conclusions.metric)} on {sample.questions} questions, {_scope(conclusions)}: {'; '.join(clauses)}."


def _scope(conclusions: Conclusions) -> str:
    seeds = {contrast.seeds for contrast in conclusions.pairs}
    shown = f"{min(seeds)}" if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}"
    many = "s" if max(seeds) > 1 else ""
    pairs = len(conclusions.pairs)
    return f"{shown} training seed{many} an agent" + (f", all {pairs} pairs judged at once" if pairs > 1 else "")


def _against(conclusions: Conclusions) -> list[str]:
    """How the agents stand to the baseline."""
    groups: dict[Decision, list[str]] = {decision: [] for decision in Decision}
    for agent, contrast in conclusions.against.items():
        groups[conclusions.decision(contrast)].append(agent)
    baseline, margin = conclusions.baseline, f"±{100 * conclusions.margin:g} points"
    relations = {
        Decision.HIGHER: f"above {baseline}",
        Decision.LOWER: f"below {baseline}",
        Decision.EQUAL: f"equal to {baseline} within {margin}",
        Decision.UNDECIDED: f"undecided against {baseline}",
    }
    clauses = []
    for decision, relation in relations.items():
        if agents := groups[decision]:
            named = [conclusions.against[agent] for agent in agents]
            clauses.append(
                f"{listed(agents)} {'is' if len(agents) == 1 else 'are'} {relation}{_figures(conclusions, named)}"
            )
    return clauses


def _figures(conclusions: Conclusions, contrasts: Sequence[Contrast]) -> str:
    """Values and intervals, and what it would take to decide; of many agents the table has them."""
    shown = [f"{contrast.first} {points(contrast)}" for contrast in contrasts]
    parts = shown if len(conclusions.against) <= CROWD else []
    undecided = [contrast for contrast in contrasts if conclusions.decision(contrast) is Decision.UNDECIDED]
    if undecided:
        parts = [*parts, needed(conclusions, undecided)]
    return f" ({'; '.join(parts)})" if parts else ""


def _between(conclusions: Conclusions) -> list[str]:
    """How the agents stand to each other."""
    decided = [c for c in conclusions.between if conclusions.decision(c) is Decision.HIGHER]
    equal = [c for c in conclusions.between if conclusions.decision(c) is Decision.EQUAL]
    undecided = [c for c in conclusions.between if conclusions.decision(c) is Decision.UNDECIDED]
    clauses = []
    clauses += _exceeding(decided)
    if equal:
        within = f"within ±{100 * conclusions.margin:g} points"
        named = [f"{contrast.first} and {contrast.second}" for contrast in equal]
        clauses.append(
            f"equal {within}: {', '.join(named)}" if len(equal) <= CROWD else f"{len(equal)} pairs equal {within}"
        )
    if undecided:
        clauses.append(f"{_apart(conclusions, undecided)} ({needed(conclusions, undecided)})")
    return clauses


def _apart(conclusions: Conclusions, undecided: Sequence[Contrast]) -> str:
    """Which pairs of agents are open: by name, if they are few."""
    if len(undecided) == len(conclusions.between):
        return "no pair of agents is told apart"
    if len(undecided) > CROWD:
        return f"{len(undecided)} pairs of agents are not told apart"
    named = [f"{contrast.first} and {contrast.second}" for contrast in undecided]
    return f"not told apart: {', '.join(named)}"


def _exceeding(decided: Sequence[Contrast]) -> list[str]:
    """Who exceeds whom: with its figures where that is one pair, else agents that exceed the same ones together."""
    if len(decided) == 1:
        return [f"{decided[0].first} exceeds {decided[0].second} ({points(decided[0])})"]
    beaten: dict[str, list[str]] = {}
    for contrast in decided:
        beaten.setdefault(contrast.first, []).append(contrast.second)
    together: dict[tuple[str, ...], list[str]] = {}
    for winner, losers in beaten.items():
        together.setdefault(tuple(losers), []).append(winner)
    clauses = []
    for below, winners in together.items():
        clauses.append(f"{listed(winners)} {'exceeds' if len(winners) == 1 else 'exceed'} {listed(below)}")
    return clauses


def needed(conclusions: Conclusions, undecided: Sequence[Contrast]) -> str:
    """What would decide these pairs: how many training seeds, or that seeds alone do not suffice."""
    if all(conclusions.saturated(contrast) for contrast in undecided):
        return f"saturated: both above {100 * SATURATED:g} %, so this metric decides nothing"
    rest = [contrast for contrast in undecided if not conclusions.saturated(contrast)]
    margin = f"{100 * conclusions.margin:g} points"
    if all(math.isinf(contrast.variance) for contrast in rest):
        return "one training seed each; other seeds are unknown, run at least 5"
    counts = [contrast.seeds_needed(conclusions.margin) for contrast in rest if math.isfinite(contrast.variance)]
    if None in counts:
        return f"no number of seeds would find {margin} on so few questions"
    most = max(count for count in counts if count is not None)
    if most <= min(contrast.seeds for contrast in rest):
        return f"{margin} would most likely have been found; what is open is a smaller difference"
    return f"{most} seeds would find a difference of {margin} four times in five"


def joint(greedy: Conclusions, at_k: Conclusions) -> list[str]:
    """Of every agent, whether greedy accuracy and pass@k move together. Both parts have to be decided."""
    moves = {Decision.HIGHER: "rises", Decision.LOWER: "falls"}
    lines = []
    for agent in (name for name in greedy.against if name in at_k.against):
        first, second = greedy.against[agent], at_k.against[agent]
        one, other = moves.get(greedy.decision(first)), moves.get(at_k.decision(second))
        if one and one == other:
            lines.append(f"{agent}: greedy accuracy and {at_k.metric} both {one.removesuffix('s')}")
        elif one and other:
            lines.append(f"{agent}: greedy accuracy {one} and {at_k.metric} {other}")
        else:
            lines.append(f"{agent}: no joint movement of greedy accuracy and {at_k.metric} is shown")
    return lines


def ceiling(at_k: Conclusions) -> list[str]:
    """Of every agent, whether its pass@k stays below the baseline's plus the margin (non-superiority)."""
    lines = []
    for agent, contrast in at_k.against.items():
        margin = f"{100 * at_k.margin:g} points"
        if at_k.saturation is not None and contrast.levels[1] > at_k.saturation:
            said = f"{at_k.baseline} is above {100 * at_k.saturation:g} % already: saturated, this k decides nothing"
        elif contrast.high < at_k.margin:
            said = f"does not pass {at_k.baseline} by {margin} (at most {100 * contrast.high:+.1f})"
        elif contrast.low > 0:
            said = f"passes {at_k.baseline} by {points(contrast)}"
        else:
            said = f"may or may not pass {at_k.baseline} by {margin} ({points(contrast)})"
        lines.append(f"{at_k.metric} of {agent}: {said}")
    return lines


def points(contrast: Contrast) -> str:
    """A difference in percentage points with its interval, such as `+6.5 points [+2.0, +11.0]`."""
    if math.isinf(contrast.variance):
        return f"{100 * contrast.value:+.1f} points, one seed"
    return f"{100 * contrast.value:+.1f} points [{100 * contrast.low:+.1f}, {100 * contrast.high:+.1f}]"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _words(metric: str) -> str:
    return metric.replace("_", " ").capitalize() if metric.islower() and "@" not in metric else metric
