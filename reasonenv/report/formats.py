"""How numbers are written; the templates know these functions as filters."""

from __future__ import annotations

import csv
import io
import math
import unicodedata
from collections.abc import Iterable, Sequence

from reasonenv.measures.comparisons import Contrast
from reasonenv.stats import Estimate
from reasonenv.terminal import printable

# Control codes as their pictures: a parser of HTML drops some of them and changes others.
PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
SPELLING = "\n\t\u00a0\u2007\u2009\u200c\u200d\u202f\u3000"
FORMULA = tuple("=+-@")  # how a cell begins that a spreadsheet computes, also in their wide forms and behind spaces
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def visible(text: str) -> str:
    """A text for the page: what would be obeyed or reorder is shown; spaces and joiners, which are spelling, stay."""
    return printable(text.translate(PICTURES), keep=SPELLING)


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV. A text that a spreadsheet would take for a formula has an apostrophe before it."""
    lines = []
    for row in rows:
        line = io.StringIO(newline="")
        csv.writer(line).writerow(map(_cell, row))
        lines.append(line.getvalue().removesuffix("\r\n"))  # with this end of a line it quotes a text with either part
    return "".join(f"{line}\n" for line in lines)


def _cell(value: object) -> object:
    """A text as `visible`, and as no formula; anything else as it is."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    computed = unicodedata.normalize("NFKC", text).lstrip().startswith(FORMULA) or text.startswith(("\t", "\n"))
    return f"'{text}" if computed else text


def percent(share: float, digits: int = 1) -> str:
    """`54.2`."""
    return f"{100 * share:.{digits}f}"


def signed(difference: float) -> str:
    """`+4.2`, in points."""
    return f"{100 * difference:+.1f}"


def interval(estimate: Estimate) -> str:
    """`[47.1, 61.0]`, in percent."""
    return f"[{percent(estimate.low)}, {percent(estimate.high)}]"


def estimate(estimate: Estimate) -> str:
    """`54.2 [47.1, 61.0]`, in percent."""
    return f"{percent(estimate.value)} {interval(estimate)}"


def range_of(contrast: Contrast) -> str:
    """`[+1.0, +7.4]`, in points; that takes two seeds."""
    if math.isinf(contrast.variance):
        return "one seed"
    return f"[{signed(contrast.low)}, {signed(contrast.high)}]"


def whole(count: float) -> str:
    """`12,300`."""
    return f"{count:,.0f}"


def metric_title(metric: str) -> str:
    """A metric as a person reads it."""
    return metric.replace("_", " ")


def power_of_ten(power: float) -> str:
    """10 ** power, which may be beyond all floats."""
    if power < 6:
        return whole(10**power)
    return "10" + f"{power:.0f}".translate(SUPERSCRIPTS)


def position(x: float) -> str:
    """A place on the horizontal axis."""
    if x >= 100:
        return whole(x)
    return f"{x:.3g}"


def tick(value: float, percent: bool = False) -> str:
    """A value of an axis, as short as can be."""
    if percent:
        return f"{100 * value:.4g}%"
    if abs(value) >= 10_000:
        return f"{value / 1000:.4g}k"
    return f"{value:.4g}"


FILTERS = {
    each.__name__: each
    for each in (percent, signed, interval, estimate, range_of, whole, metric_title, power_of_ten, tick)
}
