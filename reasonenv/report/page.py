"""One self-contained HTML page from a suite: no request leaves it, and nothing a policy wrote can run in it."""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from string import Template

from reasonenv.core import Reason
from reasonenv.measures.comparisons import Decision
from reasonenv.measures.conclusions import points
from reasonenv.report.answers import browser, caption
from reasonenv.report.charts import crowded, line_chart
from reasonenv.report.curves import Chart, charts, colours
from reasonenv.report.diversity_section import diversity
from reasonenv.report.findings import HEADLINE, Finding, Setting
from reasonenv.report.load import BUDGET, Suite
from reasonenv.report.look import STYLE
from reasonenv.report.questions import across, pairs
from reasonenv.report.script import SCRIPT
from reasonenv.report.sharpening import sharpening
from reasonenv.report.table import REFERENCE_LINES, columns, sentences, title
from reasonenv.report.tables import folded, plain
from reasonenv.stats import Estimate

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src '$hash'">
<title>$title</title><style>$style</style></head><body><main>
<p class="kicker">reasonenv suite $name</p><h1>$title</h1><p class="lede">$description</p>
$notice$settings
<h2>Environment</h2>$environment
</main><script>$script</script></body></html>
""")

LABELS = {HEADLINE: "greedy accuracy", "truncated": "cut off", "unverified": "not verified"}
REASON_COLOURS = {
    Reason.CORRECT: "--good",
    Reason.WRONG: "--bad",
    Reason.NO_ANSWER: "--none",
    Reason.UNPARSABLE_ANSWER: "--odd",
}


def render(suite: Suite, settings: Sequence[Setting]) -> str:
    """The page. A pure function of its arguments: the same suite gives the same bytes."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return PAGE.substitute(
        hash=f"sha256-{digest}",
        title=escape(suite.title),
        name=escape(suite.name),
        description=escape(suite.description),
        style=STYLE,
        script=SCRIPT,
        notice=_notice(suite, settings),
        settings=across(settings) + "".join(_setting(suite, setting, alone=len(settings) == 1) for setting in settings),
        environment=_environment(suite),
    )


def _setting(suite: Suite, setting: Setting, *, alone: bool) -> str:
    heading = "" if alone else f"<h2>{escape(setting.name)}</h2>"
    if not setting.findings:
        return f"{heading}{_claims(setting)}"
    return (
        f"{heading}{_claims(setting)}{_results(setting)}"
        f'<div class="charts">{"".join(_figure(chart) for chart in charts(setting))}</div>'
        f"{pairs(setting)}{sharpening(setting)}{diversity(setting)}"
        f"{_reasons(setting)}{_cost(setting)}<h2>Answers</h2>"
        f'<p class="caption">{caption()}</p>'
        f"{browser(setting, setting.problems, colours(setting))}"
    )


def _claims(setting: Setting) -> str:
    """What is concluded: the sentence of greedy accuracy first, then that of pass@k."""
    first, *rest = sentences(setting)
    more = "".join(f'<p class="lede">{escape(line)}</p>' for line in rest)
    notice = f'<div class="notice">{escape(setting.notice)}</div>' if setting.notice else ""
    return f'{notice}<p class="claim">{escape(first)}</p>{more}<p class="caption">{escape(setting.provenance)}</p>'


def _results(setting: Setting) -> str:
    metrics, palette = columns(setting), colours(setting)
    head = [escape(LABELS.get(metric, metric)) for metric in metrics]
    head.insert(1, f"against {escape(setting.baseline)}")
    rows = [_result(setting, finding, metrics, head, palette) for finding in setting.rows]
    if setting.reference_lines:
        rows.append(f'<tr><td colspan="{len(head) + 1}"><small>Reference lines, no agents</small></td></tr>')
        rows += [_result(setting, finding, metrics, head, palette) for finding in setting.reference_lines]
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("agent", *head))
    every = list(dict.fromkeys(metric for finding in setting.findings for metric in finding.summary))
    more = [[f.agent, m, _text(f.summary[m]), _seeds(f, m)] for f in setting.findings for m in every if m in f.summary]
    gaps = []
    for metric, conclusions in setting.conclusions.items():
        for pair in conclusions.pairs:
            seeds = ", ".join(f"{seed}: {100 * value:+.1f}" for seed, value in pair.by_seed.items())
            gaps.append([pair.first, f"{metric} − {pair.second}", points(pair), seeds])
    return (
        f'<table class="results"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        '<p class="caption">Percent, mean over seeds. In brackets 95 % intervals over other questions and, for agents, '
        "other training seeds; differences are in points, paired by question, for all pairs at once.</p>"
        + folded(("agent", "metric", "mean over seeds", "each seed"), more + gaps, "All numbers")
    )


def _result(
    setting: Setting, finding: Finding, metrics: Sequence[str], head: Sequence[str], palette: Mapping[str, str]
) -> str:
    """A row of the table; `head` has the difference to the initial policy behind the first metric."""
    cells = [
        _value(finding.summary.get(metric), name) for metric, name in zip(metrics, [head[0], *head[2:]], strict=True)
    ]
    cells.insert(1, _against(setting, finding, head[1]))
    reference = REFERENCE_LINES.get(finding.agent)
    if reference is None:
        dot = f'<span class="dot" style="--own:var({palette[finding.agent]})"></span>'
        named, note = finding.agent, f"seeds {', '.join(str(cell.seed) for cell in finding.cells)}"
    else:
        dot, named, note = "", title(finding.agent), reference
    name = f"<td>{dot}<b>{escape(named)}</b><small>{escape(note)}</small></td>"
    return f"<tr>{name}{''.join(cells)}</tr>"


def _value(estimate: Estimate | None, label: str) -> str:
    if estimate is None:
        return f'<td data-label="{label}">—</td>'
    return f'<td data-label="{label}">{100 * estimate.value:.1f}<small>{_range(estimate)}</small></td>'


def _against(setting: Setting, finding: Finding, label: str) -> str:
    contrast = setting.headline.against.get(finding.agent)
    if contrast is None:
        return f'<td data-label="{label}">—</td>'
    tone = {Decision.HIGHER: "up", Decision.LOWER: "down"}.get(setting.headline.decision(contrast), "")
    known = "one seed" if math.isinf(contrast.variance) else _range(contrast.estimate, sign="+")
    return f'<td data-label="{label}"><b class="{tone}">{100 * contrast.value:+.1f}</b><small>{known}</small></td>'


def _range(e: Estimate, sign: str = "") -> str:
    return f"[{100 * e.low:{sign}.1f}, {100 * e.high:{sign}.1f}]"


def _text(e: Estimate) -> str:
    return f"{100 * e.value:.1f} {_range(e)}"


def _seeds(finding: Finding, metric: str) -> str:
    return ", ".join(f"{seed}: {100 * v[metric]:.1f}" for seed, v in finding.by_seed.items() if metric in v)


def _figure(chart: Chart) -> str:
    first = next(iter(chart.plots.values()))
    caption = f"{chart.caption} Of so many agents the means alone; point at one." if crowded(first) else chart.caption
    return (
        f'<figure><h3>{escape(first.title)}</h3><p class="caption">{escape(caption)}</p>'
        f"{_drawings(chart)}{folded(chart.head, chart.numbers)}</figure>"
    )


def _drawings(chart: Chart) -> str:
    """All drawings of a chart, the first one shown; without the script all are, one below the other."""
    drawings = {axis: line_chart(plot) for axis, plot in chart.plots.items()}
    if len(drawings) == 1:
        return next(iter(drawings.values()))
    options = "".join(f"<option>{escape(axis)}</option>" for axis in drawings)
    shown = "".join(f'<div data-axis="{escape(axis)}">{svg}</div>' for axis, svg in drawings.items())
    return f'<div class="axes"><label hidden>over <select>{options}</select></label>{shown}</div>'


def _reasons(setting: Setting) -> str:
    present = list(dict.fromkeys(reason for finding in setting.findings for reason in finding.reasons))
    rows, numbers = [], []
    for finding in setting.findings:
        parts = []
        for reason, share in finding.reasons.items():
            shown = f"{100 * share:.0f}%" if share >= 0.07 else ""
            what = f"{escape(_words(reason))} {100 * share:.1f}%"
            parts.append(f'<i style="flex:{share:.4f};background:var({_tone(reason)})" title="{what}">{shown}</i>')
            numbers.append([finding.agent, _words(reason), f"{100 * share:.2f}%"])
        rows.append(f'<div class="row"><b>{escape(finding.agent)}</b><div class="bar">{"".join(parts)}</div></div>')
    legend = "".join(
        f'<span><span class="dot" style="--own:var({_tone(reason)})"></span>{escape(_words(reason))}</span>'
        for reason in present
    )
    return (
        '<h2>Verdicts</h2><p class="caption">Why sampled answers were right or wrong, as shares of all of them.</p>'
        f'<div class="bars">{"".join(rows)}</div><div class="legend">{legend}</div>'
        + folded(("agent", "verdict", "share"), numbers)
    )


def _cost(setting: Setting) -> str:
    trained = [finding for finding in setting.findings if finding.budget["updates"]]
    rows = []
    for finding in trained:
        rows.append([finding.agent, *(f"{finding.budget[key]:,.0f}" for key in BUDGET)])
    return (
        '<h2>What it cost</h2><p class="caption">Mean over seeds. Memory is the most that the process held, '
        f"or its tensors on a GPU.</p>{plain(('agent', *BUDGET[:-1], 'memory, MiB'), rows)}"
    )


def _tone(reason: str) -> str:
    return {str(known): tone for known, tone in REASON_COLOURS.items()}.get(reason, "--ours")


def _words(reason: str) -> str:
    return reason.replace("_", " ")


def _notice(suite: Suite, settings: Sequence[Setting]) -> str:
    if not suite.cells:
        return '<div class="notice"><b>No cell has started yet.</b></div>'
    missing = [item if len(settings) == 1 else f"{s.name}: {item}" for s in settings for item in s.missing]
    if not missing:
        return ""
    listed = "".join(f"<li>{escape(item)}</li>" for item in missing)
    broken = "".join(
        f'<b>{escape(cell.agent)}, seed {cell.seed}</b> <span class="mono muted">{escape(cell.name)}</span>'
        f"<pre>{escape(cell.error or 'failed without a message')}</pre>"
        for cell in suite.cells
        if cell.status == "failed"
    )
    return (
        f'<div class="notice"><b>This suite is not complete.</b> Every figure below is of the cells that are done.'
        f"<ul>{listed}</ul>{broken}</div>"
    )


def _environment(suite: Suite) -> str:
    seeds = ", ".join(str(seed) for seed in sorted({cell.seed for cell in suite.cells}))
    took = "not ended" if suite.seconds is None else f"{suite.seconds / 60:.1f} minutes ({suite.seconds:.0f} s)"
    entries = {
        "command": suite.command,
        "hardware": suite.hardware,
        "seeds": seeds,
        "time": took,
        "cells": ", ".join(f"{cell.name} ({cell.status})" for cell in suite.cells),
        **suite.versions,
        **_cards(suite),
    }
    listed = "".join(
        f'<dt>{escape(key)}</dt><dd class="mono">{escape(value)}</dd>' for key, value in entries.items() if value
    )
    return f"<dl>{listed}</dl>"


def _cards(suite: Suite) -> dict[str, str]:
    """What the cells ran on; where they differ, which value how many of them had."""
    found: dict[str, Counter[str]] = {}
    for cell in suite.cells:
        for key, value in cell.card.items():
            found.setdefault(key, Counter())[value] += 1
    return {
        key: next(iter(values)) if len(values) == 1 else "; ".join(f"{v} ({n} cells)" for v, n in values.items())
        for key, values in found.items()
    }
