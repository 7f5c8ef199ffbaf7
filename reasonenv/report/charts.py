"""Line charts: where every value of a plot lies. The template `chart.html.j2` draws it as SVG.

A library would not serve a self-contained page better. Matplotlib's SVG is several times as large for the same lines,
is drawn for light or for dark, and tells no value on pointing. Plotly (about 4 MB), Vega with its compiler (about 1 MB;
it wants `unsafe-eval` or a second interpreter) and uPlot (50 kB) would stand in every page and draw nothing without a
script; uPlot draws on a canvas, which does not print sharply. Here a chart is some kilobytes of SVG whose colours are
CSS variables of the page, and the script only reads values from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from reasonenv.report.formats import percent, position, visible

Point = tuple[float, float]
Range = tuple[float, float, float]  # x, low, high

WIDTH, HEIGHT = 460, 300  # one chart fills a phone at about this size, so its 13 px text stays readable there
TOP, BOTTOM, LEFT = 26, 44, 46
LONGEST = 14  # characters of a name beside its line
CROWD = 6  # more agents than this are drawn without their seeds and bands
GAP = 15  # least distance between two labels at the ends of lines
POINTS, SEED_POINTS = 300, 100  # at most, of a mean, and of a seed or of one mean among many
MARKS = 5  # on a line
# Around (0, 0), filled: circle, square, triangle, diamond, cross, triangle downwards.
SHAPES = (
    "M-3.6,0a3.6,3.6 0 1 0 7.2,0a3.6,3.6 0 1 0 -7.2,0Z",
    "M-3.3,-3.3H3.3V3.3H-3.3Z",
    "M0,-4.4L4.2,3.2H-4.2Z",
    "M0,-4.8L4.2,0L0,4.8L-4.2,0Z",
    "M-4.2,-1.4H-1.4V-4.2H1.4V-1.4H4.2V1.4H1.4V4.2H-1.4V1.4H-4.2Z",
    "M0,4.4L4.2,-3.2H-4.2Z",
)


@dataclass(frozen=True)
class Style:
    """How a row is drawn, wherever it is drawn."""

    colour: str  # CSS variable
    dash: str = ""  # `stroke-dasharray`
    shape: int = 0  # of its marks, in `SHAPES`


@dataclass(frozen=True)
class Series:
    """One agent: a thick line, and thin lines (its seeds) or a band (its interval) around it."""

    name: str
    style: Style
    points: Sequence[Point]
    seeds: Mapping[int, Sequence[Point]] = field(default_factory=dict)
    band: Sequence[Range] = ()
    spread: Sequence[Range] = ()  # the lowest and the highest seed, read where there is no band

    def ranges(self) -> dict[float, tuple[float, float]]:
        """x -> low and high of what is around the line."""
        around = {}
        for x, low, high in self.band or self.spread:
            around[x] = low, high
        return around


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
    end = end or 1.0  # where nothing was used
    whole = linear_axis([0.0, end], floor=0.0, ceiling=end)
    return Axis(0.0, end, [tick for tick in whole.ticks if tick <= end])


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


@dataclass(frozen=True)
class Label:
    """A name at the end of its line."""

    y: float
    name: str
    colour: str

    @property
    def text(self) -> str:
        """The name, which may be too long to stand beside a chart."""
        if len(self.name) <= LONGEST:
            return self.name
        return self.name[: LONGEST - 1] + "…"


@dataclass(frozen=True)
class Drawing:
    """A plot with a place for each of its values, in the units of its SVG."""

    plot: Plot
    series: Sequence[Series]  # those that have points
    x: Axis
    y: Axis
    edge: float  # where the lines end and their names begin
    few: bool  # so that there is room for seeds and bands

    width, height, left, top, bottom = WIDTH, HEIGHT, LEFT, TOP, HEIGHT - BOTTOM
    shapes, seed_points = SHAPES, SEED_POINTS

    def place(self, x: float, y: float) -> Point:
        """Across and down."""
        across = LEFT + self.x.scale(x) * (self.edge - LEFT)
        return across, self.bottom - self.y.scale(y) * (self.bottom - TOP)

    @property
    def points(self) -> int:
        """Of a mean, at most: fewer where there are many, or they would make most of the page."""
        return POINTS if self.few else SEED_POINTS

    def path(self, points: Sequence[Point], most: int) -> str:
        """A line through at most so many of the points."""
        return "M" + "L".join("{:.1f},{:.1f}".format(*self.place(x, y)) for x, y in thinned(points, most))

    def outline(self, band: Sequence[Range]) -> str:
        """Along the upper ends of a band and back along the lower ones."""
        upper, lower = list[Point](), list[Point]()
        for x, low, high in band:
            upper.append((x, high))
            lower.append((x, low))
        return f"{self.path([*upper, *lower[::-1]], 2 * POINTS)}Z"

    def marks(self, number: int) -> Iterator[Point]:
        """Of the line with this number: its end, and some places before it that differ from line to line."""
        points = thinned(self.series[number].points, self.points)
        step = max(1, len(points) // MARKS)
        for x, y in (*points[number * step // 3 % step : -1 : step], points[-1]):
            yield self.place(x, y)

    def labels(self) -> list[Label]:
        """Moved apart where they would overlap: downwards first, then all up if the last one leaves the chart."""
        labels = []
        for series in self.series:
            labels.append(Label(self.place(*series.points[-1])[1], series.name, series.style.colour))
        if self.plot.reference:
            name, level = self.plot.reference
            labels.append(Label(self.place(self.x.low, level)[1], name, "--base"))
        labels.sort(key=lambda label: label.y)
        above = -math.inf
        for i, label in enumerate(labels):
            above = max(label.y, above + GAP)
            labels[i] = replace(label, y=above)
        below = self.bottom + 4.0
        for i, label in reversed(list(enumerate(labels))):
            labels[i] = replace(label, y=min(label.y, below))
            below = labels[i].y - GAP
        return labels

    @cached_property
    def readings(self) -> list[dict[str, object]]:
        """What pointing at the chart tells: of every line its points, [across, down, text of x, text of y]."""
        lines: list[dict[str, object]] = []
        for series in self.series:
            ranges, points = series.ranges(), []
            for x, y in thinned(series.points, self.points):
                across, down = map(round, self.place(x, y))
                text = self._text(y, *ranges.get(x, ()))
                points.append([across, down, position(x), text])
            lines.append({"name": visible(series.name), "colour": series.style.colour, "points": points})
        return lines

    def _text(self, value: float, *ends: float) -> str:
        """`95.4% [93.1, 97.0]`, or in four digits."""
        write: Callable[[float], str] = "{:.4g}".format
        unit = ""
        if self.plot.percent:
            write, unit = percent, "%"
        around = f" [{', '.join(map(write, ends))}]" if ends else ""
        return f"{write(value)}{unit}{around}"


def drawing(plot: Plot) -> Drawing | None:
    """The axes around everything that is drawn; None if that is nothing."""
    drawn = [series for series in plot.series if series.points]
    if not drawn:
        return None
    xs, ys = list[float](), list[float]()
    for series in drawn:
        for line in (series.points, *series.seeds.values()):
            across, up = zip(*line, strict=True)
            xs += across
            ys += up
        for _, low, high in series.band:
            ys += (low, high)
    if plot.reference:
        ys.append(plot.reference[1])
    x_axis, y_axis = from_zero_axis(max(xs)), linear_axis(ys)
    if plot.log2:
        x_axis = log2_axis(xs)
    if plot.percent:
        y_axis = linear_axis(ys, floor=0.0, ceiling=1.0)
    longest = max(min(len(series.name), LONGEST) for series in plot.series)  # of all: charts side by side align
    return Drawing(plot, drawn, x_axis, y_axis, WIDTH - 22 - 7.5 * longest, not crowded(plot))


def crowded(plot: Plot) -> bool:
    """Whether it has more agents than `CROWD` beside the baseline, so that only their means are drawn."""
    return sum(bool(series.points) for series in plot.series) > CROWD + 1


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` of the points: the first and the last, and of equal parts between them the lowest and the highest.

    So no peak is lost, as with M4 (Jugel et al. 2014, doi 10.14778/2732951.2732953). `most` is at least 4.
    """
    if len(points) <= most:
        return list(points)
    parts, inner = (most - 2) // 2, range(1, len(points) - 1)
    chosen = [0]
    for part in range(parts):
        indices = inner[part * len(inner) // parts : (part + 1) * len(inner) // parts]
        chosen += sorted({min(indices, key=lambda i: points[i][1]), max(indices, key=lambda i: points[i][1])})
    return [points[i] for i in (*chosen, len(points) - 1)]
