"""Tables of the page as records; the macro `table` of the templates draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reasonenv.measures.comparisons import Contrast
from reasonenv.stats import Estimate

NOTHING = "—"


@dataclass(frozen=True)
class Entry:
    """One place of a table."""

    text: str
    note: str = ""  # smaller, below the text; its lines stay as they are
    order: float | None = None  # by which a column is sorted, where the text does not begin with that number
    colour: str = ""  # CSS variable of a dot before the text, which is then a name
    tone: str = ""  # CSS class: `up`, `down` or `name`


Row = Sequence[Entry | str]


@dataclass(frozen=True)
class Table:
    """A table that a reader can sort by each column."""

    title: str  # for those who hear the page
    head: Sequence[str]
    rows: Sequence[Row]
    heading: str = ""
    caption: str = ""
    folded: str = ""  # what opens it, if it is closed at first
    more: Mapping[str, Sequence[Row]] = field(default_factory=dict)  # further groups of rows, by their title


def interval(low: float, high: float, sign: str = "") -> str:
    """`[47.1, 61.0]`, in percent."""
    return f"[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def percent_entry(estimate: Estimate | None, *, questions: bool = False) -> Entry:
    """A share with its interval, and with the number of `questions` on request."""
    if estimate is None:
        return Entry(NOTHING)
    note = interval(estimate.low, estimate.high)
    return Entry(f"{100 * estimate.value:.1f}", f"{note}\nn {estimate.n}" if questions else note)


def points_entry(contrast: Contrast | None, *, questions: bool = False, tone: str = "") -> Entry:
    """A difference in points with its interval, and with the number of `questions` on request."""
    if contrast is None:
        return Entry(NOTHING)
    note = known_interval(contrast)
    note = f"{note}\nn {contrast.questions}" if questions else note
    return Entry(f"{100 * contrast.value:+.1f}", note, tone=tone)


def known_interval(contrast: Contrast) -> str:
    """The interval of a difference, which takes two seeds."""
    return interval(contrast.low, contrast.high, "+") if math.isfinite(contrast.variance) else "one seed"
