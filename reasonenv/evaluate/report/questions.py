"""The questions behind a suite, a section each: does the choice matter, sharpening or discovery, how diverse, where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from reasonenv.evaluate.comparisons import holm, improvement, interquartile_mean
from reasonenv.evaluate.ledger import Origin
from reasonenv.evaluate.report.findings import HEADLINE, Difference, Finding, Setting
from reasonenv.evaluate.report.table import percent
from reasonenv.evaluate.report.tables import folded, plain
from reasonenv.evaluate.stats import Estimate, Floats

ORIGIN_COLOURS = {Origin.LIKELY: "--base", Origin.SUPPORT: "--c1", Origin.UNSEEN: "--c2"}
DIVERSITY = {
    "paths/correct": "paths, correct",
    "paths/all": "paths, all",
    "equations/correct": "equations, correct",
    "equations/all": "equations, all",
    "edits/correct": "letters, correct",
    "edits/all": "letters, all",
    "bigrams": "distinct-2",
    "answers": "answer entropy",
}
MOST_PAIRS = 21  # rows; of more, those between two agents are folded
DRIFT = {"entropy": "policy entropy", "kl": "KL to the start"}


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


def origins(setting: Setting, palette: Mapping[str, str]) -> str:
    """Of the problems that each agent solves, how the initial policy stood to them."""
    shown = [f for f in setting.findings if f.origins and f.agent != setting.baseline]
    if not shown:
        return ""
    bars, numbers = [], []
    for finding in shown:
        total = sum(finding.origins.values())
        parts = []
        for origin in Origin:
            share = finding.origins.get(origin, 0) / total
            label = f"{100 * share:.0f}%" if share >= 0.07 else ""
            tone = ORIGIN_COLOURS[origin]
            parts.append(f'<i style="flex:{share:.4f};background:var({tone})" title="{origin.value}">{label}</i>')
            numbers.append([finding.agent, origin.value, str(finding.origins.get(origin, 0)), f"{100 * share:.1f}%"])
        bars.append(f'<div class="row"><b>{escape(finding.agent)}</b><div class="bar">{"".join(parts)}</div></div>')
    legend = "".join(
        f'<span><span class="dot" style="--own:var({ORIGIN_COLOURS[origin]})"></span>{origin.value}</span>'
        for origin in Origin
    )
    crossing = "".join(f"<li>{escape(_crossing(setting, agent))}</li>" for agent in setting.gains)
    return (
        "<h2>Sharpening or discovery?</h2>"
        '<p class="caption">Problems with a correct sample after training, by what the initial policy did with as many '
        "samples: right in at least half of them, in some, in none.</p>"
        f'<div class="bars origins">{"".join(bars)}</div><div class="legend">{legend}</div>'
        f'<ul class="said">{crossing}</ul>' + folded(("agent", "before training", "problems", "share"), numbers)
    )


def _crossing(setting: Setting, agent: str) -> str:
    """What the simultaneous band of the difference of two pass@k curves shows."""
    gain, ks = setting.gains[agent], setting.ks
    above, below = ([k for k, b in zip(ks, side, strict=True) if b] for side in (gain.low > 0, gain.high < 0))
    said = f"pass@k of {agent} against {setting.baseline}: "
    if gain.crosses:
        return said + f"above at k = {_list(above)} and below at k = {_list(below)}, so the curves cross."
    if above:
        return said + f"above at k = {_list(above)}; nowhere below beyond doubt."
    if below:
        return said + f"below at k = {_list(below)}; nowhere above beyond doubt."
    return said + "no difference beyond doubt at any k."


def _list(ks: Sequence[int]) -> str:
    return ", ".join(map(str, ks))


def diversity(setting: Setting) -> str:
    """How different the samples of each agent are."""
    known = [name for name in DIVERSITY if any(name in f.diversity for f in setting.findings)]
    if not known:
        return ""
    drifted = [name for name in DRIFT if any(name in f.drift for f in setting.findings)]
    rows = [
        [
            f.agent,
            *(_percent(f.diversity.get(name)) for name in known),
            *(_nats(f.drift.get(name)) for name in drifted),
        ]
        for f in setting.findings
    ]
    head = ("agent", *(DIVERSITY[name] for name in known), *(DRIFT[name] for name in drifted))
    return (
        '<h2>Diversity</h2><p class="caption">Percent, with 95 % intervals. How often two samples of one problem '
        "differ in their arithmetic, and how much in equations and letters; different pairs of words; entropy of "
        "answers over its maximum. In nats per token of sampled answers: entropy of the policy, and its KL divergence "
        "to the policy before training.</p>" + plain(head, rows)
    )


def _percent(e: Estimate | None) -> str:
    return "—" if e is None else f"{100 * e.value:.1f}\n[{100 * e.low:.1f}, {100 * e.high:.1f}]"


def _nats(e: Estimate | None) -> str:
    return "—" if e is None else f"{e.value:.3f}\n[{e.low:.3f}, {e.high:.3f}]"


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
