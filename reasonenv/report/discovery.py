"""Sharpening or discovery: the section that says what the initial policy knew of what an agent solves."""

from __future__ import annotations

from typing import Any

from reasonenv.measures.comparisons import Contrast
from reasonenv.measures.discovery import Discovery, Origin, Surprise, upper_bound
from reasonenv.report.findings import Setting
from reasonenv.report.html_table import NOTHING, Entry, Row, Table, points_entry
from reasonenv.report.results import bar_part
from reasonenv.report.sections import Section
from reasonenv.report.text_table import claims_at_k, discoveries

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
ORIGIN_COLOURS = {Origin.LIKELY: "--base", Origin.SUPPORT: "--c1", Origin.UNSEEN: "--c2"}


def discovery(setting: Setting) -> Section | None:
    """Of the questions that each agent solves, how the initial policy stood to them, and what the placebo shows."""
    claims = [*discoveries(setting), *claims_at_k(setting)]
    known = setting.discovery
    if not setting.findings or (known is None and not claims):
        return None
    data: dict[str, Any] = {"lines": claims}
    if known is not None:
        data |= _provenance(known) | {"caption": _caption(known)}
    return Section("Sharpening or discovery?", "discovery", data)


def _caption(known: Discovery) -> str:
    bound = 100 * upper_bound(known.budget)
    return (
        f"Questions that a row solves with {known.k} samples, by the success probability p₀ of the initial policy. It "
        f"is estimated from samples of its own, up to {known.budget} of a question that none has solved: already "
        f"likely, p₀ ≥ 1/2; in support, seen less often; not seen in any of them, as {known.unseen} of "
        f"{known.questions} questions are, which leaves p₀ up to {bound:.1f} % (95 %). The row {known.placebo} is the "
        f"placebo: the initial policy itself with {known.k} fresh samples also solves questions it has not been seen "
        "to solve. Discovery is what an agent has beyond it, in points of all questions, with 95 % intervals over "
        "other questions and other training seeds. 1/p₀ of text: how many samples of the initial policy it takes to "
        "draw the winning text itself, the median with its quartiles, and the share of texts that take more than the "
        "base budget; unknown of a policy asked for goals."
    )


def _provenance(known: Discovery) -> dict[str, Any]:
    """Bars of what the initial policy knew, the numbers behind them, and the table of gains."""
    bars, numbers = dict[str, list[dict[str, Any]]](), []
    for row, counts in known.origins.items():
        total = sum(counts.values())
        bars[row] = []
        for origin in Origin if total else ():
            count = counts.get(origin, 0)
            bars[row].append(bar_part(origin.value, count / total, ORIGIN_COLOURS[origin]))
            numbers.append([row, origin.value, str(count), f"{100 * count / total:.1f}%"])
    head = ("row", "before training", "solved questions, over seeds", "share")
    return {
        "bars": bars,
        "bright": True,  # colours on which the page's own can be read
        "legend": {origin.value: ORIGIN_COLOURS[origin] for origin in Origin},
        "tables": [Table("What was known before training", head, numbers, folded="Numbers"), _gains(known)],
    }


def _gains(known: Discovery) -> Table:
    """Discovery of every agent over the placebo, and how surprising its winning texts are."""
    head = ("agent", "solved, not seen", known.placebo, "difference", "1/p₀ of text", f"above {known.budget}")
    rows = [_gain(agent, gain, known.surprises.get(agent)) for agent, gain in known.gains.items()]
    return Table("Discovery beyond the placebo", head, rows)


def _gain(agent: str, gain: Contrast, surprise: Surprise | None) -> Row:
    first, second = gain.levels
    return [agent, f"{100 * first:.1f}%", f"{100 * second:.1f}%", points_entry(gain), *_texts(surprise)]


def _texts(surprise: Surprise | None) -> Row:
    if surprise is None:
        return [NOTHING, NOTHING]
    low, middle, high = map(_samples, surprise.quartiles)
    share = Entry(f"{100 * surprise.beyond:.1f}%", f"of {surprise.texts}")
    return [Entry(middle, f"[{low}, {high}]", order=surprise.quartiles[1]), share]


def _samples(power: float) -> str:
    """10 ** power, which may be beyond all floats."""
    return f"{10**power:,.0f}" if power < 6 else "10" + f"{power:.0f}".translate(SUPERSCRIPTS)
