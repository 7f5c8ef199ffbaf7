"""Does the choice of agent matter: every pair of agents in one setting, and every agent across settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reasonenv.evaluate.comparisons import holm, improvement, interquartile_mean
from reasonenv.evaluate.report.findings import HEADLINE, Difference, Finding, Setting
from reasonenv.evaluate.report.table import percent
from reasonenv.evaluate.report.tables import folded, plain
from reasonenv.evaluate.stats import Floats

MOST_PAIRS = 21  # rows; of more, those between two agents are folded


def pairs(setting: Setting, margin: float) -> str:
    """Every pair of agents, with what may be said of other seeds, corrected for the number of pairs."""
    found = [*setting.against.values(), *setting.between]
    if not found:
        return ""
    adjusted = holm([d.spread.p_value for d in found])
    rows = [_pair(d, p, margin) for d, p in zip(found, adjusted, strict=True)]
    first = len(rows) if len(rows) <= MOST_PAIRS else len(setting.against)
    head = ("pair", "difference", "other problems", "and other seeds", "p (Holm)", f"within ±{100 * margin:g}", "MDE")
    return (
        "<h2>Does the choice matter?</h2>"
        f'<p class="caption">Differences of {HEADLINE} in points with 95 % intervals: over other problems for these '
        "trained policies, and over other training seeds too. p: of no difference, corrected for the number of pairs. "
        f"Equal: two one-sided tests find the difference within ±{100 * margin:g} points. MDE: the smallest true "
        "difference that four in five such experiments would find.</p>"
        + plain(head, rows[:first])
        + (folded(head, rows[first:], "All other pairs") if rows[first:] else "")
    )


def _pair(d: Difference, p: float, margin: float) -> list[str]:
    e, wide = d.estimate, d.spread.interval
    lone = d.spread.seeds == 1
    equal = d.spread.equivalence_p(margin)
    return [
        f"{d.agent} − {d.other}",
        f"{100 * e.value:+.1f}",
        f"[{100 * e.low:+.1f}, {100 * e.high:+.1f}]",
        "one seed" if lone else f"[{100 * wide.low:+.1f}, {100 * wide.high:+.1f}]",
        f"{p:.3f}" if p >= 0.001 else "< 0.001",
        f"equal, p = {equal:.3f}" if equal < 0.05 else "not shown",
        f"{100 * d.spread.detectable:.1f}",
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
        f'<h2>All settings</h2><p class="caption">{HEADLINE} in percent with 95 % intervals. IQM: mean of the middle '
        "half of all runs. P: the chance that a run ends above a run of the initial policy, mean over settings.</p>"
        + plain(head, rows)
    )


def _overall(settings: Sequence[Setting], by: Mapping[tuple[str, str], Finding], agent: str) -> list[str]:
    mine, start = _runs(settings, by, agent), _runs(settings, by, settings[0].baseline)
    if mine is None:
        return ["—", "—"]
    middle = f"{100 * interquartile_mean(mine):.1f}"
    if start is None or agent == settings[0].baseline:
        return [middle, "—"]
    return [middle, f"{100 * improvement(mine, start):.0f}%"]


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
