"""Sharpening or discovery: the section of the page that says what the initial policy knew of what an agent solves."""

from __future__ import annotations

import math
from html import escape

from reasonenv.measures.comparisons import Contrast
from reasonenv.measures.discovery import Discovery, Origin, Surprise, upper_bound
from reasonenv.report.findings import Setting
from reasonenv.report.table import claims_at_k, discoveries
from reasonenv.report.tables import folded, plain

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
ORIGIN_COLOURS = {Origin.LIKELY: "--base", Origin.SUPPORT: "--c1", Origin.UNSEEN: "--c2"}


def sharpening(setting: Setting) -> str:
    """Of the questions that each agent solves, how the initial policy stood to them, and what the placebo shows."""
    claims = "".join(f"<li>{escape(line)}</li>" for line in [*discoveries(setting), *claims_at_k(setting)])
    known = setting.discovery
    if known is None and not claims:
        return ""
    measured = "" if known is None else _caption(known) + _bars(known) + plain(*_table(known))
    return f'<h2>Sharpening or discovery?</h2>{measured}<ul class="said">{claims}</ul>'


def _caption(known: Discovery) -> str:
    bound = 100 * upper_bound(known.budget)
    return (
        f'<p class="caption">Questions that a row solves with {known.k} samples, by the success probability p₀ of the '
        f"initial policy. It is estimated from samples of its own, up to {known.budget} of a question that none has "
        "solved: already likely, p₀ ≥ 1/2; in support, seen less often; not seen in any of them, as "
        f"{known.unseen} of {known.questions} questions are, which leaves p₀ up to {bound:.1f} % (95 %). The row "
        f"{escape(known.placebo)} is the placebo: the initial policy itself with {known.k} fresh samples also solves "
        "questions it has not been seen to solve. Discovery is what an agent has beyond it, in points of all "
        "questions, with 95 % intervals over other questions and other training seeds. 1/p₀ of text: how "
        "many samples of the initial policy it takes to draw the winning text itself, the median with its quartiles, "
        "and the share of texts that take more than the base budget; unknown of a policy asked for goals.</p>"
    )


def _bars(known: Discovery) -> str:
    bars, numbers = [], []
    for row, counts in known.origins.items():
        total = sum(counts.values())
        parts = []
        for origin in Origin if total else ():
            count = counts.get(origin, 0)
            share = count / total
            label = f"{100 * share:.0f}%" if share >= 0.07 else ""
            tone = ORIGIN_COLOURS[origin]
            parts.append(f'<i style="flex:{share:.4f};background:var({tone})" title="{origin.value}">{label}</i>')
            numbers.append([row, origin.value, str(count), f"{100 * share:.1f}%"])
        bars.append(f'<div class="row"><b>{escape(row)}</b><div class="bar">{"".join(parts)}</div></div>')
    legend = "".join(
        f'<span><span class="dot" style="--own:var({ORIGIN_COLOURS[origin]})"></span>{origin.value}</span>'
        for origin in Origin
    )
    head = ("row", "before training", "solved questions, over seeds", "share")
    return f'<div class="bars origins">{"".join(bars)}</div><div class="legend">{legend}</div>{folded(head, numbers)}'


def _table(known: Discovery) -> tuple[list[str], list[list[str]]]:
    """Discovery of every agent over the placebo, and how surprising its winning texts are."""
    head = ["agent", "solved, not seen", known.placebo, "difference", "1/p₀ of text", f"above {known.budget}"]
    return head, [[agent, *_gain(gain), *_texts(known.surprises.get(agent))] for agent, gain in known.gains.items()]


def _gain(gain: Contrast) -> list[str]:
    first, second = (f"{100 * level:.1f}%" for level in gain.levels)
    interval = f"[{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]" if math.isfinite(gain.variance) else "one seed"
    return [first, second, f"{100 * gain.value:+.1f}\n{interval}"]


def _texts(surprise: Surprise | None) -> list[str]:
    if surprise is None:
        return ["—", "—"]
    low, middle, high = (_samples(power) for power in surprise.quartiles)
    return [f"{middle}\n[{low}, {high}]", f"{100 * surprise.beyond:.1f}%\nof {surprise.texts}"]


def _samples(power: float) -> str:
    """10 ** power, which may be beyond all floats."""
    return f"{10**power:,.0f}" if power < 6 else "10" + f"{power:.0f}".translate(SUPERSCRIPTS)
