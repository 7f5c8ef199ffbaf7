"""The conclusions of a setting: which agent is better, said once. Page, console and CSV repeat what stands here.

Every pair of one metric is decided by its simultaneous interval (`comparisons.Contrast`), over other questions and
other training seeds. With equal agents, at most one experiment in twenty names any winner.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
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

    def decided(self, contrasts: Iterable[Contrast]) -> dict[Decision, list[Contrast]]:
        """The pairs of which each thing is said."""
        groups: dict[Decision, list[Contrast]] = {decision: [] for decision in Decision}
        for contrast in contrasts:
            groups[self.decision(contrast)].append(contrast)
        return groups


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
    rows = {name: seeds for name, seeds in scores.items() if name == baseline or name not in fixed}
    agents = [name for name in rows if name != baseline]
    pairs = list(combinations(agents, 2))
    if baseline in rows:
        pairs = [*((agent, baseline) for agent in agents), *pairs]
    against, between = dict[str, Contrast](), list[Contrast]()
    for contrast in contrasts(rows, pairs, fixed=fixed):
        if contrast.second == baseline:
            against[contrast.first] = contrast
        else:
            between.append(contrast if contrast.value >= 0 else contrast.reversed())
    return Conclusions(metric, baseline, margin, against, between, seed_variances(rows, fixed=fixed), saturation)


def sentence(conclusions: Conclusions) -> str:
    """What the intervals of one metric support, and no more."""
    absent = f"no agent can be compared with {conclusions.baseline} yet: that takes a judged cell of each"
    if not conclusions.pairs:
        return f"{absent[0].upper()}{absent[1:]}."
    sample = conclusions.pairs[0]
    clauses = [*(_against(conclusions) or [absent]), *_between(conclusions)]
    return f"{_words(conclusions.metric)} on {sample.questions} questions, {_scope(conclusions)}: {'; '.join(clauses)}."


def _scope(conclusions: Conclusions) -> str:
    seeds = sorted({contrast.seeds for contrast in conclusions.pairs})
    scope = f"{seeds[-1]} training {plural('seed', seeds[-1])} an agent"
    if len(seeds) > 1:
        scope = f"{seeds[0]} to {scope}"
    if len(conclusions.pairs) > 1:
        scope += f", all {len(conclusions.pairs)} pairs judged at once"
    return scope


def relations(conclusions: Conclusions) -> dict[str, list[Contrast]]:
    """How agents stand to the baseline in words, each with the contrasts of which that is said."""
    baseline, margin = conclusions.baseline, f"±{100 * conclusions.margin:g} points"
    words = {
        Decision.HIGHER: f"above {baseline}",
        Decision.LOWER: f"below {baseline}",
        Decision.EQUAL: f"equal to {baseline} within {margin}",
        Decision.UNDECIDED: f"undecided against {baseline}",
    }
    groups = conclusions.decided(conclusions.against.values())
    return {text: groups[decision] for decision, text in words.items() if groups[decision]}


def _against(conclusions: Conclusions) -> list[str]:
    clauses = []
    for relation, group in relations(conclusions).items():
        agents = [contrast.first for contrast in group]
        verb = "is" if len(agents) == 1 else "are"
        clauses.append(f"{listed(agents)} {verb} {relation}{_figures(conclusions, group)}")
    return clauses


def _figures(conclusions: Conclusions, contrasts: Sequence[Contrast]) -> str:
    """Values and intervals, and what it would take to decide; of many agents the table has them."""
    parts = []
    if len(conclusions.against) <= CROWD:
        parts = [f"{contrast.first} {points(contrast)}" for contrast in contrasts]
    undecided = conclusions.decided(contrasts)[Decision.UNDECIDED]
    if undecided:
        parts.append(needed(conclusions, undecided))
    return f" ({'; '.join(parts)})" if parts else ""


def _between(conclusions: Conclusions) -> list[str]:
    """How the agents stand to each other."""
    groups = conclusions.decided(conclusions.between)
    equal, undecided = groups[Decision.EQUAL], groups[Decision.UNDECIDED]
    clauses = _exceeding(groups[Decision.HIGHER])
    within = f"within ±{100 * conclusions.margin:g} points"
    if len(equal) > CROWD:
        clauses.append(f"{len(equal)} pairs equal {within}")
    elif equal:
        clauses.append(f"equal {within}: {_named(equal)}")
    if undecided:
        clauses.append(f"{_apart(conclusions, undecided)} ({needed(conclusions, undecided)})")
    return clauses


def _apart(conclusions: Conclusions, undecided: Sequence[Contrast]) -> str:
    """Which pairs of agents are open: by name, if they are few."""
    if len(undecided) == len(conclusions.between):
        return "no pair of agents is told apart"
    if len(undecided) > CROWD:
        return f"{len(undecided)} pairs of agents are not told apart"
    return f"not told apart: {_named(undecided)}"


def _named(contrasts: Sequence[Contrast]) -> str:
    return ", ".join(f"{contrast.first} and {contrast.second}" for contrast in contrasts)


def _exceeding(decided: Sequence[Contrast]) -> list[str]:
    """Who exceeds whom: with its figures where that is one pair, else agents that exceed the same ones together."""
    if len(decided) == 1:
        return [f"{decided[0].first} exceeds {decided[0].second} ({points(decided[0])})"]
    below: dict[str, list[str]] = {}
    for contrast in decided:
        below.setdefault(contrast.first, []).append(contrast.second)
    above: dict[tuple[str, ...], list[str]] = {}
    for higher, lower in below.items():
        above.setdefault(tuple(lower), []).append(higher)
    clauses = []
    for lower_ones, higher_ones in above.items():
        verb = "exceeds" if len(higher_ones) == 1 else "exceed"
        clauses.append(f"{listed(higher_ones)} {verb} {listed(lower_ones)}")
    return clauses


def needed(conclusions: Conclusions, undecided: Sequence[Contrast]) -> str:
    """What would decide these pairs: how many training seeds, or that seeds alone do not suffice."""
    rest = [contrast for contrast in undecided if not conclusions.saturated(contrast)]
    if not rest:
        return f"saturated: both above {100 * SATURATED:g} %, so this metric decides nothing"
    margin = f"{100 * conclusions.margin:g} points"
    replicated = [contrast for contrast in rest if math.isfinite(contrast.variance)]
    if not replicated:
        return "one training seed each; other seeds are unknown, run at least 5"
    most = 0
    for contrast in replicated:
        count = contrast.seeds_needed(conclusions.margin)
        if count is None:
            return f"no number of seeds would find {margin} on so few questions"
        most = max(most, count)
    if most <= min(contrast.seeds for contrast in rest):
        return f"{margin} would most likely have been found; what is open is a smaller difference"
    return f"{most} seeds would find a difference of {margin} four times in five"


def joint(greedy: Conclusions, at_k: Conclusions) -> list[str]:
    """Of every agent, whether greedy accuracy and pass@k move together. Both parts have to be decided."""
    moves = {Decision.HIGHER: "rises", Decision.LOWER: "falls"}
    lines = []
    for agent, contrast in greedy.against.items():
        if agent not in at_k.against:
            continue
        one, other = moves.get(greedy.decision(contrast)), moves.get(at_k.decision(at_k.against[agent]))
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
            claim = f"{at_k.baseline} is above {100 * at_k.saturation:g} % already: saturated, this k decides nothing"
        elif contrast.high < at_k.margin:
            claim = f"does not pass {at_k.baseline} by {margin} (at most {100 * contrast.high:+.1f})"
        elif contrast.low > 0:
            claim = f"passes {at_k.baseline} by {points(contrast)}"
        else:
            claim = f"may or may not pass {at_k.baseline} by {margin} ({points(contrast)})"
        lines.append(f"{at_k.metric} of {agent}: {claim}")
    return lines


def points(contrast: Contrast) -> str:
    """A difference in percentage points with its interval, such as `+6.5 points [+2.0, +11.0]`."""
    if math.isinf(contrast.variance):
        return f"{100 * contrast.value:+.1f} points, one seed"
    return f"{100 * contrast.value:+.1f} points [{100 * contrast.low:+.1f}, {100 * contrast.high:+.1f}]"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def plural(noun: str, count: int) -> str:
    """`seed` of one, else `seeds`."""
    return noun if count == 1 else f"{noun}s"


def _words(metric: str) -> str:
    if "@" in metric or not metric.islower():
        return metric
    return metric.replace("_", " ").capitalize()
