"""Sharpening or discovery: the section of the page that says what the initial policy knew of what an agent solves."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from reasonenv.evaluate.ledger import Origin
from reasonenv.evaluate.report.findings import Setting
from reasonenv.evaluate.report.table import claims_at_k
from reasonenv.evaluate.report.tables import folded

ORIGIN_COLOURS = {Origin.LIKELY: "--base", Origin.SUPPORT: "--c1", Origin.UNSEEN: "--c2"}


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
    claims = "".join(f"<li>{escape(line)}</li>" for line in claims_at_k(setting))
    return (
        "<h2>Sharpening or discovery?</h2>"
        '<p class="caption">Problems with a correct sample after training, by what the initial policy did with as many '
        "samples: right in at least half of them, in some, in none.</p>"
        f'<div class="bars origins">{"".join(bars)}</div><div class="legend">{legend}</div>'
        f'<ul class="said">{claims}</ul>' + folded(("agent", "before training", "problems", "share"), numbers)
    )
