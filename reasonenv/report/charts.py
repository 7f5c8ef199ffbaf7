"""Line charts: where every line, tick and label of a plot lies. The template `chart.html.j2` draws them as SVG.

A library would not serve a self-contained page better. Matplotlib's SVG is several times as large for the same lines,
is drawn for light or for dark, and tells no value on pointing. Plotly (about 4 MB), Vega with its compiler (about 1 MB;
it wants `unsafe-eval` or a second interpreter) and uPlot (50 kB) would stand in every page and draw nothing without a
script; uPlot draws on a canvas, which does not print sharply. Here a chart is some kilobytes of SVG whose colours are
CSS variables of the page, and the script only reads values from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]
Range = tuple[float, float, float]  # x, low, high

WIDTH, HEIGHT = 460, 300  # one chart fills a phone at about this size, so its 13 px text stays readable there
TOP, BOTTOM, LEFT = 26, 44, 46
LONGEST = 14  # characters of a name beside its line
CROWD = 6  # more agents than this are drawn without their seeds and bands
GAP = 15  # least distance between two labels at the ends of lines
POINTS, SEED_POINTS = 300, 100  # at most, of a mean and of a seed
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


@dataclass(frozen=True)
class Line:
    """A drawn series; texts such as `path` are in the coordinates of the drawing."""

    name: str
    style: Style
    path: str
    seeds: Sequence[str]
    band: str
    marks: Sequence[Point]
    shape: str


@dataclass(frozen=True)
class Label:
    """A name at the end of its line."""

    y: float
    name: str
    colour: str

    @property
    def text(self) -> str:
        return _short(self.name)


@dataclass(frozen=True)
class Drawing:
    """A plot as it is drawn."""

    plot: Plot
    edge: float  # where the lines end and their names begin
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    lines: Sequence[Line]
    labels: Sequence[Label]
    reference: float | None
    readings: Sequence[Mapping[str, object]]  # of every line its points: [x, y, text of x, text of y]

    width, height, left, bottom, top = WIDTH, HEIGHT, LEFT, HEIGHT - BOTTOM, TOP


@dataclass(frozen=True)
class _Frame:
    """The area in which lines are drawn."""

    x: Axis
    y: Axis
    edge: float

    def place(self, x: float, y: float) -> Point:
        across = LEFT + self.x.scale(x) * (self.edge - LEFT)
        return across, HEIGHT - BOTTOM - self.y.scale(y) * (HEIGHT - TOP - BOTTOM)

    def path(self, points: Sequence[Point]) -> str:
        places = [self.place(x, y) for x, y in points]
        return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places)


def crowded(plot: Plot) -> bool:
    """Whether it has more agents than `CROWD` beside the baseline, so that only their means are drawn."""
    return sum(bool(series.points) for series in plot.series) > CROWD + 1


def thinned(points: Sequence[Point], most: int = POINTS) -> list[Point]:
    """At most `most` of the points: the first and the last, and of equal parts between them the lowest and the highest.

    So no peak is lost, as with M4 (Jugel et al. 2014, doi 10.14778/2732951.2732953). `most` is at least 4.
    """
    if len(points) <= most:
        return list(points)
    parts = (most - 2) // 2
    inner = range(1, len(points) - 1)
    chosen = [0]
    for part in range(parts):
        indices = inner[part * len(inner) // parts : (part + 1) * len(inner) // parts]
        lowest = min(indices, key=lambda i: points[i][1])
        highest = max(indices, key=lambda i: points[i][1])
        chosen += sorted({lowest, highest})
    return [points[i] for i in (*chosen, len(points) - 1)]


def drawing(plot: Plot) -> Drawing | None:
    """Where everything lies; None if there is nothing to draw. Series without points are left out."""
    drawn = [series for series in plot.series if series.points]
    if not drawn:
        return None
    frame = _frame(plot, drawn)
    few = not crowded(plot)
    labels = []
    for series in drawn:
        labels.append(Label(frame.place(*series.points[-1])[1], series.name, series.style.colour))
    level = None
    if plot.reference:
        level = frame.place(frame.x.low, plot.reference[1])[1]
        labels.append(Label(level, plot.reference[0], "--base"))
    return Drawing(
        plot,
        frame.edge,
        [(frame.place(tick, frame.y.low)[0], _tick(tick)) for tick in frame.x.ticks],
        [(frame.place(frame.x.low, tick)[1], _tick(tick, plot.percent)) for tick in frame.y.ticks],
        [_line(frame, series, number, few) for number, series in enumerate(drawn)],
        _apart(labels),
        level,
        [_reading(frame, series, plot.percent) for series in drawn],
    )


def _frame(plot: Plot, drawn: Sequence[Series]) -> _Frame:
    xs, ys = list[float](), list[float]()
    for series in drawn:
        for line in (series.points, *series.seeds.values()):
            xs += [x for x, _ in line]
            ys += [y for _, y in line]
        for _, low, high in series.band:
            ys += [low, high]
    if plot.reference:
        ys.append(plot.reference[1])
    x_axis = log2_axis(xs) if plot.log2 else from_zero_axis(max(xs))
    y_axis = linear_axis(ys, floor=0.0, ceiling=1.0) if plot.percent else linear_axis(ys)
    right = 22 + 7.5 * max(len(_short(series.name)) for series in plot.series)  # of all: charts side by side align
    return _Frame(x_axis, y_axis, WIDTH - right)


def _line(frame: _Frame, series: Series, number: int, few: bool) -> Line:
    points = thinned(series.points)
    marks = [frame.place(*points[i]) for i in _spread(len(points), number)]
    seeds, band = list[str](), ""
    if few:
        seeds = [frame.path(thinned(line, SEED_POINTS)) for line in series.seeds.values() if len(line) > 1]
    if few and series.band:
        upper = [(x, high) for x, _, high in series.band]
        lower = [(x, low) for x, low, _ in reversed(series.band)]
        band = frame.path([*upper, *lower]) + "Z"
    return Line(series.name, series.style, frame.path(points), seeds, band, marks, SHAPES[series.style.shape])


def _spread(count: int, number: int) -> Iterator[int]:
    """Which points have a mark: the last, and some before it, at other places on every line."""
    step = max(1, count // MARKS)
    yield from range(number * step // 3 % step, count - 1, step)
    yield count - 1


def _reading(frame: _Frame, series: Series, percent: bool) -> dict[str, object]:
    """What pointing at the chart tells of a line."""
    ranges = {x: (low, high) for x, low, high in (series.band or series.spread)}
    points = []
    for x, y in thinned(series.points):
        across, down = frame.place(x, y)
        text = _value(y, percent)
        if x in ranges:
            low, high = ranges[x]
            text = f"{text} [{_value(low, percent)}, {_value(high, percent)}]"
        points.append([round(across), round(down), f"{x:,.0f}" if x >= 100 else f"{x:.3g}", text])
    return {"name": series.name, "colour": series.style.colour, "points": points}


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _value(value: float, percent: bool) -> str:
    return f"{100 * value:.1f}%" if percent else f"{value:.4g}"


def _tick(value: float, percent: bool = False) -> str:
    if percent:
        return f"{100 * value:.4g}%"
    if abs(value) >= 10_000:
        return f"{value / 1000:.4g}k"
    return f"{value:.4g}"


def _apart(labels: Sequence[Label]) -> list[Label]:
    """Moves labels that would overlap apart: downwards first, then all up if the last one leaves the chart."""
    ordered = sorted(labels, key=lambda label: label.y)
    places: list[float] = []
    for label in ordered:
        places.append(max(label.y, places[-1] + GAP) if places else label.y)
    limit = HEIGHT - BOTTOM + 4.0
    for i in reversed(range(len(places))):
        places[i] = min(places[i], limit)
        limit = places[i] - GAP
    return [Label(y, label.name, label.colour) for y, label in zip(places, ordered, strict=True)]
