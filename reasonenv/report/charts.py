"""Line charts as inline SVG. Colours are CSS variables of the page, so that light and dark need one drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 460, 300  # one chart fills a phone at about this size, so its 13 px text stays readable there
TOP, BOTTOM, LEFT = 26, 44, 46
LONGEST = 14  # characters of a name beside its line
CROWD = 6  # more agents than this are drawn without their seeds and bands
LINE = 15  # least distance between two labels at the ends of lines


@dataclass(frozen=True)
class Series:
    """One agent: a thick line, and thin lines (its seeds) or a band (its interval) around it."""

    name: str
    colour: str  # name of a CSS variable
    points: Sequence[Point]
    seeds: Mapping[int, Sequence[Point]] = field(default_factory=dict)
    band: Sequence[tuple[float, float, float]] = ()  # x, low, high
    dash: str = ""  # `stroke-dasharray`, where colours have run out


@dataclass(frozen=True)
class Axis:
    """A range with its ticks; `scale` gives the share of the axis at which a value lies."""

    low: float
    high: float
    ticks: Sequence[float]
    log2: bool = False

    def scale(self, value: float) -> float:
        if self.log2:
            return math.log2(value / self.low) / (math.log2(self.high / self.low) or 1.0)
        return (value - self.low) / (self.high - self.low)


def linear_axis(values: Sequence[float], *, floor: float = -math.inf, ceiling: float = math.inf) -> Axis:
    """Round limits around `values` with four to seven round ticks, never beyond `floor` and `ceiling`."""
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    low, high = max(low - 0.04 * spread, floor), min(high + 0.04 * spread, ceiling)
    raw = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(i * step, 12) for i in range(first, last + 1)]
    return Axis(ticks[0], ticks[-1], ticks)


def from_zero_axis(end: float) -> Axis:
    """From 0 to exactly `end`, with round ticks: a budget that is used up reaches the edge."""
    whole = linear_axis([0.0, end], floor=0.0, ceiling=end)
    return Axis(0.0, end or 1.0, [tick for tick in whole.ticks if tick <= end])


def log2_axis(values: Sequence[float]) -> Axis:
    """Powers of two from the smallest to the largest of `values`, which are positive."""
    low, high = min(values), max(values)
    exponents = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    return Axis(low, high, [2.0**e for e in exponents], log2=True)


@dataclass(frozen=True)
class Plot:
    """What is drawn; `reference` is a labelled dashed level."""

    series: Sequence[Series]
    title: str
    x_label: str
    y_label: str
    percent: bool = False
    log2: bool = False
    reference: tuple[str, float] | None = None


def crowded(plot: Plot) -> bool:
    """Whether it has more agents than `CROWD` beside the baseline, so that only their means are drawn."""
    return sum(bool(s.points) for s in plot.series) > CROWD + 1


def line_chart(plot: Plot) -> str:
    """An SVG element. Series without points are left out."""
    series, percent, reference = plot.series, plot.percent, plot.reference
    drawn = [s for s in series if s.points]
    if not drawn:
        return '<p class="nothing">No data yet.</p>'
    xs = [x for s in drawn for line in (s.points, *s.seeds.values()) for x, _ in line]
    ys = [y for s in drawn for line in (s.points, *s.seeds.values()) for _, y in line]
    ys += [y for s in drawn for _, low, high in s.band for y in (low, high)] + ([reference[1]] if reference else [])
    x_axis = log2_axis(xs) if plot.log2 else from_zero_axis(max(xs))
    y_axis = linear_axis(ys, floor=0.0, ceiling=1.0) if percent else linear_axis(ys)
    right = 22 + 7.5 * max(len(_label(s.name)) for s in series)  # of all, so that charts side by side align

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x_axis.scale(x) * (WIDTH - LEFT - right)
        return across, HEIGHT - BOTTOM - y_axis.scale(y) * (HEIGHT - TOP - BOTTOM)

    def path(line: Sequence[Point]) -> str:
        return "M" + "L".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in line)

    edge = WIDTH - right
    parts = []
    for tick in y_axis.ticks:
        y = place(x_axis.low, tick)[1]
        parts.append(f'<path class="grid" d="M{LEFT},{y:.1f}H{edge:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{_tick(tick, percent)}</text>'
        )
    for tick in x_axis.ticks:
        x = place(tick, y_axis.low)[0]
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_tick(tick)}</text>'
        )
    parts.append(f'<text class="axis" x="{edge:.1f}" y="{HEIGHT - 6}" text-anchor="end">{escape(plot.x_label)}</text>')
    parts.append(f'<text class="axis" x="4" y="13">{escape(plot.y_label)}</text>')
    labels: list[tuple[float, str, str]] = []
    if reference:
        y = place(x_axis.low, reference[1])[1]
        parts.append(f'<path class="reference" d="M{LEFT},{y:.1f}H{edge:.1f}"/>')
        labels.append((y, reference[0], "--base"))
    few = not crowded(plot)
    for s in drawn:
        if s.band and few:
            outline = [(x, high) for x, _, high in s.band] + [(x, low) for x, low, _ in reversed(s.band)]
            parts.append(
                f'<path class="band" data-of="{escape(s.name)}" style="fill:var({s.colour})" d="{path(outline)}Z"/>'
            )
    for s in drawn:
        own = f'data-of="{escape(s.name)}" style="stroke:var({s.colour})'
        lines = s.seeds.values() if few else ()
        parts += [f'<path class="seed" {own}" d="{path(line)}"/>' for line in lines if len(line) > 1]
    for s in drawn:
        dash = f";stroke-dasharray:{s.dash}" if s.dash else ""
        own = f'data-of="{escape(s.name)}" style='
        parts.append(f'<path class="line" {own}"stroke:var({s.colour}){dash}" d="{path(s.points)}"/>')
        x, y = place(*s.points[-1])
        parts.append(f'<circle r="3.4" cx="{x:.1f}" cy="{y:.1f}" {own}"fill:var({s.colour})"/>')
        labels.append((y, s.name, s.colour))
    for y, name, colour in _spread(labels):
        own = f'data-of="{escape(name)}" style="fill:var({colour})"'
        parts.append(f'<text class="label" {own} x="{edge + 9:.1f}" y="{y + 4.5:.1f}">{escape(_label(name))}</text>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(plot.title)}">'
        f"<title>{escape(plot.title)}</title>{''.join(parts)}</svg>"
    )


def _label(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _tick(value: float, percent: bool = False) -> str:
    if percent:
        return f"{100 * value:.4g}%"
    if abs(value) >= 10_000:
        return f"{value / 1000:.4g}k"
    return f"{value:.4g}"


def _spread(labels: Sequence[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Moves labels that would overlap apart: downwards first, then all up if the last one leaves the chart."""
    placed: list[tuple[float, str, str]] = []
    for y, name, colour in sorted(labels):
        placed.append((max(y, placed[-1][0] + LINE) if placed else y, name, colour))
    limit = HEIGHT - BOTTOM + 4.0
    for i in range(len(placed) - 1, -1, -1):
        y, name, colour = placed[i]
        if y > limit:
            placed[i] = (limit, name, colour)
        limit = placed[i][0] - LINE
    return placed
