"""Does the choice of agent matter: every pair of agents in one setting, and every agent across settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from reasonenv.measures.aggregates import improvement, interquartile_mean
from reasonenv.measures.comparisons import Contrast
from reasonenv.measures.conclusions import Conclusions
from reasonenv.report.findings import HEADLINE, Finding, Setting
from reasonenv.report.table import percent, title
from reasonenv.report.tables import folded, plain
from reasonenv.stats import Estimate, Floats

MOST_PAIRS = 21  # rows; of more, those between two agents are folded


def pairs(setting: Setting) -> str:
    """Every pair of agents in greedy accuracy and in pass@k at the largest k, each decided by its interval."""
    shown = [conclusions for conclusions in setting.conclusions.values() if conclusions.pairs]
    if not shown:
        return ""
    margin = f"±{100 * shown[0].margin:g} points"
    return (
        "<h2>Does the choice matter?</h2>"
        '<p class="caption">Differences in points. The interval holds for other questions and other training seeds, '
        "for all pairs of a table at once (95 %); the variance of seeds is pooled over the agents. p, corrected for "
        "the number of pairs, is below 0.05 where the interval excludes 0. One interval decides: above 0, below 0, "
        f"equal where it lies within {margin}, else undecided; saturated where both rows are too near 1. MDE: the true "
        "difference that four in five such experiments would find. Seeds: how many an agent would need to find "
        f"{margin[1:]} as often, on the same questions.</p>" + "".join(_table(conclusions) for conclusions in shown)
    )


def _table(conclusions: Conclusions) -> str:
    rows = [_pair(conclusions, contrast) for contrast in conclusions.pairs]
    first = len(rows) if len(rows) <= MOST_PAIRS else len(conclusions.against)
    head = ("pair", "difference", "95 % interval", "p", "conclusion", "MDE", "seeds")
    rest = folded(head, rows[first:], "All other pairs") if rows[first:] else ""
    return f"<h3>{escape(title(conclusions.metric))}</h3>{plain(head, rows[:first])}{rest}"


def _pair(conclusions: Conclusions, contrast: Contrast) -> list[str]:
    known = math.isfinite(contrast.variance)
    seeds = contrast.seeds_needed(conclusions.margin)
    p = contrast.p_value
    return [
        f"{contrast.first} − {contrast.second}",
        f"{100 * contrast.value:+.1f}",
        f"[{100 * contrast.low:+.1f}, {100 * contrast.high:+.1f}]" if known else "one seed",
        f"{p:.3f}" if p >= 0.001 else "< 0.001",
        "saturated" if conclusions.saturated(contrast) else str(conclusions.decision(contrast)),
        f"{100 * contrast.detectable:.1f}" if known else "—",
        "—" if seeds is None else str(seeds),
    ]


def across(settings: Sequence[Setting]) -> str:
    """Agents x settings in one table, with the interquartile mean and the probability of improvement."""
    if len(settings) < 2:
        return ""
    agents = list(dict.fromkeys(f.agent for s in settings for f in s.findings))
    by = {(s.name, f.agent): f for s in settings for f in s.findings}
    rows = []
    for agent in agents:
        cells = [by.get((s.name, agent)) for s in settings]
        shown = [percent(f.summary[HEADLINE]) if f and HEADLINE in f.summary else "—" for f in cells]
        rows.append([agent, *shown, *_overall(settings, by, agent)])
    head = ("agent", *(s.name for s in settings), "IQM", "P(better than the start)")
    return (
        f'<h2>All settings</h2><p class="caption">{title(HEADLINE).capitalize()} in percent with 95 % intervals. IQM: '
        "mean of the middle half of all runs. P: the chance that a run ends above the initial policy, mean over "
        "settings. Their intervals are of a bootstrap over training seeds within each setting.</p>" + plain(head, rows)
    )


def _overall(settings: Sequence[Setting], by: Mapping[tuple[str, str], Finding], agent: str) -> list[str]:
    baseline = settings[0].baseline
    runs, start = _runs(settings, by, agent), _runs(settings, by, baseline)
    if runs is None:
        return ["—", "—"]
    middle = _over_seeds(interquartile_mean(runs))
    if start is None or agent == baseline:
        return [middle, "—"]
    return [middle, _over_seeds(improvement(runs, start))]


def _over_seeds(estimate: Estimate) -> str:
    """In percent, with the interval over training seeds if there is one."""
    return percent(estimate) if math.isfinite(estimate.low) else f"{100 * estimate.value:.1f}, one seed"


def _runs(settings: Sequence[Setting], by: Mapping[tuple[str, str], Finding], agent: str) -> Floats | None:
    """One score a run, [seeds, settings]; None if the runs do not form a table."""
    columns = []
    for setting in settings:
        finding = by.get((setting.name, agent))
        if finding is None:
            return None
        columns.append([values[HEADLINE] for values in finding.by_seed.values() if HEADLINE in values])
    if len({len(column) for column in columns}) != 1 or not columns[0]:
        return None
    return np.array(columns).T
