"""Does the choice of agent matter: every pair of agents in one setting, and every agent across settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from reasonenv.measures.aggregates import improvement, interquartile_mean
from reasonenv.measures.comparisons import Contrast
from reasonenv.measures.conclusions import Conclusions
from reasonenv.report.findings import HEADLINE, Finding, Setting
from reasonenv.report.html_table import NOTHING, Row, Table, known_interval
from reasonenv.report.sections import Section
from reasonenv.report.text_table import percent, title
from reasonenv.stats import Estimate, Floats

MOST_PAIRS = 21  # rows; of more, those between two agents are folded
HEAD = ("pair", "difference", "95 % interval", "p", "conclusion", "MDE", "seeds")


def pairs(setting: Setting) -> Section | None:
    """Every pair of agents in greedy accuracy and in pass@k at the largest k, each decided by its interval."""
    shown = [conclusions for conclusions in setting.conclusions.values() if conclusions.pairs]
    if not shown or not setting.findings:
        return None
    margin = f"{100 * shown[0].margin:g} points"
    caption = (
        "Differences in points. The interval holds for other questions and other training seeds, for all pairs of a "
        "table at once (95 %); the variance of seeds is pooled over the agents. p, corrected for the number of pairs, "
        "is below 0.05 where the interval excludes 0. One interval decides: above 0, below 0, equal where it lies "
        f"within ±{margin}, else undecided; saturated where both rows are too near 1. MDE: the true difference that "
        "four in five such experiments would find. Seeds: how many an agent would need to find "
        f"{margin} as often, on the same questions."
    )
    tables: list[Table] = []
    for conclusions in shown:
        tables += _tables(conclusions)
    return Section("Does the choice matter?", "pairs", {"caption": caption, "tables": tables})


def _tables(conclusions: Conclusions) -> list[Table]:
    rows = [_pair(conclusions, contrast) for contrast in conclusions.pairs]
    first = len(rows) if len(rows) <= MOST_PAIRS else len(conclusions.against)
    name = title(conclusions.metric)
    tables = [Table(f"Pairs, {name}", HEAD, rows[:first], heading=name)]
    if rows[first:]:
        tables.append(Table(f"Other pairs, {name}", HEAD, rows[first:], folded="All other pairs"))
    return tables


def _pair(conclusions: Conclusions, contrast: Contrast) -> Row:
    seeds = contrast.seeds_needed(conclusions.margin)
    return [
        f"{contrast.first} − {contrast.second}",
        f"{100 * contrast.value:+.1f}",
        known_interval(contrast),
        f"{contrast.p_value:.3f}" if contrast.p_value >= 0.001 else "< 0.001",
        "saturated" if conclusions.saturated(contrast) else str(conclusions.decision(contrast)),
        f"{100 * contrast.detectable:.1f}" if math.isfinite(contrast.variance) else NOTHING,
        NOTHING if seeds is None else str(seeds),
    ]


def across(settings: Sequence[Setting]) -> Section | None:
    """Agents x settings in one table, with the interquartile mean and the probability of improvement."""
    if len(settings) < 2:
        return None
    findings = {(setting.name, finding.agent): finding for setting in settings for finding in setting.findings}
    rows = []
    for agent in dict.fromkeys(agent for _, agent in findings):
        means = [_mean(findings.get((setting.name, agent))) for setting in settings]
        rows.append([agent, *means, *_overall(settings, findings, agent)])
    head = ("agent", *(setting.name for setting in settings), "IQM", "P(better than the start)")
    caption = (
        f"{title(HEADLINE).capitalize()} in percent with 95 % intervals. IQM: mean of the middle half of all runs. P: "
        "the chance that a run ends above the initial policy, mean over settings. Their intervals are of a bootstrap "
        "over training seeds within each setting."
    )
    return Section("All settings", "all-settings", {"tables": [Table("All settings", head, rows, caption=caption)]})


def _mean(finding: Finding | None) -> str:
    if finding is None or HEADLINE not in finding.summary:
        return NOTHING
    return percent(finding.summary[HEADLINE])


def _overall(settings: Sequence[Setting], findings: Mapping[tuple[str, str], Finding], agent: str) -> list[str]:
    baseline = settings[0].baseline
    runs, start = _runs(settings, findings, agent), _runs(settings, findings, baseline)
    if runs is None:
        return [NOTHING, NOTHING]
    middle = _over_seeds(interquartile_mean(runs))
    if start is None or agent == baseline:
        return [middle, NOTHING]
    return [middle, _over_seeds(improvement(runs, start))]


def _over_seeds(estimate: Estimate) -> str:
    """In percent, with the interval over training seeds if there is one."""
    return percent(estimate) if math.isfinite(estimate.low) else f"{100 * estimate.value:.1f}, one seed"


def _runs(settings: Sequence[Setting], findings: Mapping[tuple[str, str], Finding], agent: str) -> Floats | None:
    """One score a run, [seeds, settings]; None if the runs do not form a table."""
    columns = []
    for setting in settings:
        finding = findings.get((setting.name, agent))
        if finding is None:
            return None
        columns.append([values[HEADLINE] for values in finding.by_seed.values() if HEADLINE in values])
    if len(set(map(len, columns))) != 1 or not columns[0]:
        return None
    return np.array(columns).T
