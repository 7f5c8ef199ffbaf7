"""Sections on the results of a setting: who is better, why answers were wrong, what it cost, with which settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reasonenv.core import Reason
from reasonenv.measures.comparisons import Decision
from reasonenv.measures.conclusions import Conclusions, listed, points
from reasonenv.measures.records import BUDGET
from reasonenv.report.curves import styles
from reasonenv.report.findings import HEADLINE, Finding, Setting
from reasonenv.report.html_table import NOTHING, Entry, Row, Table, interval, percent_entry, points_entry
from reasonenv.report.sections import Section
from reasonenv.report.text_table import REFERENCE_LINES, columns, seeds_of, sentences, title

LABELS = {HEADLINE: "greedy accuracy", "truncated": "cut off", "unverified": "not verified"}
REASON_COLOURS = {
    Reason.CORRECT.value: "--good",
    Reason.WRONG.value: "--bad",
    Reason.NO_ANSWER.value: "--none",
    Reason.UNPARSABLE_ANSWER.value: "--odd",
}
FAILURE = "--ours"  # the verifier's own
TONES = {Decision.HIGHER: "up", Decision.LOWER: "down"}
LABELLED = 0.07  # share of a bar in which a number fits


def results(setting: Setting) -> Section:
    """What is concluded of greedy accuracy and pass@k, and the table of all agents."""
    data = {
        "notice": setting.notice,
        "headline": headline(setting.headline),
        "sentences": sentences(setting),
        "provenance": setting.provenance,
        "tables": [_table(setting), _all_numbers(setting)] if setting.findings else [],
    }
    return Section("Results", "results", data, "results.html.j2")


def headline(conclusions: Conclusions) -> str:
    """Who is above and who is below the initial policy in greedy accuracy; the whole sentence has the figures."""
    groups: dict[Decision, list[str]] = {decision: [] for decision in Decision}
    for agent, contrast in conclusions.against.items():
        groups[conclusions.decision(contrast)].append(agent)
    baseline = conclusions.baseline
    relations = {
        Decision.HIGHER: f"above {baseline}",
        Decision.LOWER: f"below {baseline}",
        Decision.EQUAL: f"equal to {baseline} within ±{100 * conclusions.margin:g} points",
        Decision.UNDECIDED: f"undecided against {baseline}",
    }
    clauses = [f"{listed(groups[decision])} {text}" for decision, text in relations.items() if groups[decision]]
    return f"Greedy accuracy: {'; '.join(clauses)}." if clauses else ""


def _table(setting: Setting) -> Table:
    names = [LABELS.get(metric, metric) for metric in columns(setting)]
    lines = [_row(setting, finding) for finding in setting.reference_lines]
    return Table(
        "Results of every agent",
        ("agent", names[0], f"against {setting.baseline}", *names[1:]),
        [_row(setting, finding) for finding in setting.rows],
        caption="Percent, mean over seeds. In brackets 95 % intervals over other questions and, for agents, other "
        "training seeds; differences are in points, paired by question, for all pairs at once.",
        more={"Reference lines, no agents": lines} if lines else {},
    )


def _row(setting: Setting, finding: Finding) -> Row:
    first, *rest = (percent_entry(finding.summary.get(metric)) for metric in columns(setting))
    return [_name(setting, finding), first, _against(setting, finding), *rest]


def _name(setting: Setting, finding: Finding) -> Entry:
    if finding.agent in REFERENCE_LINES:
        return Entry(title(finding.agent), REFERENCE_LINES[finding.agent], tone="name")
    seeds = f"{len(finding.cells)} seeds" if len(finding.cells) > 1 else f"seed {finding.cells[0].seed}"
    return Entry(finding.agent, seeds, colour=styles(setting)[finding.agent].colour, tone="name")


def _against(setting: Setting, finding: Finding) -> Entry:
    contrast = setting.headline.against.get(finding.agent)
    if contrast is None:
        return Entry(NOTHING)
    return points_entry(contrast, tone=TONES.get(setting.headline.decision(contrast), "name"))


def _all_numbers(setting: Setting) -> Table:
    rows: list[Row] = []
    for finding in setting.findings:
        for metric, mean in finding.summary.items():
            value = f"{100 * mean.value:.1f} {interval(mean.low, mean.high)}"
            rows.append([finding.agent, metric, value, _by_seed(seeds_of(finding, metric))])
    for metric, conclusions in setting.conclusions.items():
        for pair in conclusions.pairs:
            difference = f"{metric} − {pair.second}"
            rows.append([pair.first, difference, points(pair), _by_seed(pair.by_seed, sign="+")])
    return Table("All numbers", ("agent", "metric", "mean over seeds", "each seed"), rows, folded="All numbers")


def _by_seed(values: Mapping[int, float], sign: str = "") -> str:
    return ", ".join(f"{seed}: {100 * value:{sign}.1f}" for seed, value in values.items())


def verdicts(setting: Setting) -> Section | None:
    """Why sampled answers were right or wrong."""
    if not setting.findings:
        return None
    numbers, bars, legend = [], dict[str, list[dict[str, Any]]](), dict[str, str]()
    for finding in setting.findings:
        bars[finding.agent] = []
        for reason, share in finding.reasons.items():
            words, colour = reason.replace("_", " "), REASON_COLOURS.get(reason, FAILURE)
            legend[words] = colour
            bars[finding.agent].append(bar_part(words, share, colour))
            numbers.append([finding.agent, words, f"{100 * share:.2f}%"])
    data = {
        "caption": "Why sampled answers were right or wrong, as shares of all of them.",
        "bars": bars,
        "legend": legend,
        "tables": [Table("Verdicts", ("agent", "verdict", "share"), numbers, folded="Numbers")],
    }
    return Section("Verdicts", "verdicts", data)


def bar_part(words: str, share: float, colour: str) -> dict[str, Any]:
    """A piece of a horizontal bar."""
    return {"words": words, "share": share, "colour": colour, "labelled": share >= LABELLED}


def cost(setting: Setting) -> Section | None:
    """What every agent that learns has used, interruptions included."""
    rows = []
    for finding in setting.findings:
        if finding.budget["updates"]:
            spent = [f"{finding.budget[key]:,.0f}" for key in BUDGET]
            total = math.fsum(cell.seconds for cell in finding.cells)
            rows.append([finding.agent, *spent, f"{total:,.0f}", str(len(finding.cells))])
    head = ("agent", *BUDGET[:-1], "memory, MiB", "seconds of all seeds", "seeds")
    caption = (
        "Mean over seeds, all parts of an interrupted run together; then the sum over seeds. Memory is the most that "
        "the process held, or its tensors on a GPU."
    )
    data = {"tables": [Table("What each agent cost", head, rows, caption=caption)]}
    return Section("What it cost", "cost", data) if rows else None


def agent_settings(setting: Setting) -> Section | None:
    """All settings of every row, side by side, as its first seed has left them: those of the agent first."""
    known = {finding.agent: finding.cells[0].settings for finding in setting.findings if finding.cells[0].settings}
    keys = dict[str, None]()
    for settings in known.values():
        keys |= dict.fromkeys(settings)
    rows = []
    for key in sorted(keys.keys() - {"agent", "seed"}, key=lambda key: (not key.startswith("agent_keys."), key)):
        values = [str(settings.get(key, "")) for settings in known.values()]
        rows.append([key.rpartition(".")[2], *values])
    caption = "Of the first seed of every row; a setting that a row does not have is left empty."
    table = Table("Settings", ("setting", *known), rows, caption=caption, folded="Settings of every agent")
    return Section("Settings", "settings", {"tables": [table]}) if known else None
