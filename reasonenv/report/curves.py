"""Which curves a setting has: learning curves, training signals, pass@k, and the numbers behind each of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reasonenv.report.charts import SHAPES, Plot, Point, Range, Series, Style, crowded, drawing, thinned
from reasonenv.report.findings import HEADLINE, Finding, Setting
from reasonenv.report.html_table import Table
from reasonenv.report.load import Cell
from reasonenv.report.sections import Section
from reasonenv.report.text_table import percent
from reasonenv.stats import Estimate

AXES = ("rollouts", "tokens", "updates", "seconds")  # what equal budgets may be counted in
COLOURS = 6
DASHES = ("", "9 3", "3 3", "11 3 3 3", "6 4", "2 5")  # the last two colours are the nearest to others
LISTED = 40  # points of a line in the table of numbers


@dataclass(frozen=True)
class Chart:
    """A drawing with its caption; a reader chooses among several plots by the name of their horizontal axis."""

    name: str  # of its file
    caption: str
    plots: Mapping[str, Plot]


@dataclass(frozen=True)
class Curve:
    """What a row of a learning curve is made of: its mean, the lines of its seeds, and their lowest and highest."""

    mean: Sequence[Point]
    seeds: Mapping[int, Sequence[Point]]
    spread: Sequence[Range]


def styles(setting: Setting) -> dict[str, Style]:
    """Row -> how it is drawn: what is no agent is neutral, agents are told apart by colour, dash and mark."""
    neutral = (setting.baseline, *setting.references)
    drawn = dict.fromkeys(neutral, Style("--base"))
    agents = sorted({cell.agent for cell in setting.cells}.difference(neutral))
    for i, agent in enumerate(agents):
        turn = i // COLOURS
        drawn[agent] = Style(f"--c{i % COLOURS + 1}", DASHES[(i + turn) % len(DASHES)], (i + 2 * turn) % len(SHAPES))
    return drawn


def curves(setting: Setting) -> Section | None:
    """All charts, each with some of its numbers."""
    if not setting.findings:
        return None
    figures = []
    for chart in charts(setting):
        first, caption = next(iter(chart.plots.values())), chart.caption
        if crowded(first):
            caption += " Of so many agents the means alone; point at one."
        drawings = {axis: drawing(plot) for axis, plot in chart.plots.items()}
        figures.append({"title": first.title, "caption": caption, "drawings": drawings, "table": _numbers(chart)})
    return Section("Curves", "curves", {"figures": figures}, "curves.html.j2")


def charts(setting: Setting) -> list[Chart]:
    """The charts of a setting in reading order."""
    reference = None
    for finding in setting.findings:
        if finding.agent == setting.baseline and HEADLINE in finding.summary:
            reference = (setting.baseline, finding.summary[HEADLINE].value)
    passes = Chart(
        "pass",
        "Chance that one of k samples is correct. Bands: 95 % at each k, over other questions and other seeds.",
        {"k": _over_k(setting, "pass", title="pass@k on held-out problems", y_label="pass@k", percent=True)},
    )
    distinct = Chart(
        "distinct",
        "By their arithmetic; of the correct samples among k or of all k. Bands as for pass@k.",
        {
            which: _over_k(setting, which, title="Different solutions among k samples", y_label="different solutions")
            for which in ("correct", "all")
        },
    )
    return [
        _learning(
            setting,
            "eval/greedy_accuracy",
            title="Greedy accuracy while learning",
            caption="Thick: mean over seeds. Thin: each seed. Dashed: where all began.",
            y_label="greedy accuracy",
            axes=AXES,
            percent=True,
            reference=reference,
        ),
        passes,
        distinct,
        _learning(
            setting,
            "reward",
            title="Reward of training samples",
            caption="Mean over the samples of each iteration.",
            y_label="reward",
        ),
        _learning(
            setting,
            "entropy",
            title="Entropy of the policy",
            caption="Mean over training tokens; near zero, exploration has ended.",
            y_label="nats per token",
        ),
    ]


def _learning(
    setting: Setting,
    key: str,
    *,
    title: str,
    caption: str,
    y_label: str,
    axes: Sequence[str] = AXES[:1],
    percent: bool = False,
    reference: tuple[str, float] | None = None,
) -> Chart:
    plots = {}
    for axis in axes:
        series = []
        for agent, style in styles(setting).items():
            cells = [cell for cell in setting.cells if cell.agent == agent and agent != setting.baseline]
            curve = _curve(cells, key, axis)
            series.append(Series(agent, style, curve.mean, curve.seeds, spread=curve.spread))
        plots[axis] = Plot(series, title, axis, y_label, percent=percent, reference=reference)
    return Chart(key.rpartition("/")[2], caption, plots)


def _curve(cells: Sequence[Cell], key: str, axis: str) -> Curve:
    """The mean is over the iterations that all seeds have reached, so that no seed bends the line by ending early."""
    lines = {cell.seed: line for cell in cells if (line := _line(cell, key, axis))}
    shared = sorted(set.intersection(*map(set, lines.values()))) if lines else []
    mean, spread = list[Point](), list[Range]()
    for step in shared:
        points = [line[step] for line in lines.values()]
        values = [y for _, y in points]
        mean.append((sum(x for x, _ in points) / len(points), sum(values) / len(values)))
        spread.append((mean[-1][0], min(values), max(values)))
    if len(lines) < 2:
        return Curve(mean, {}, ())
    return Curve(mean, {seed: list(line.values()) for seed, line in lines.items()}, spread)


def _line(cell: Cell, key: str, axis: str) -> dict[int, Point]:
    """Iteration -> (used of the axis, value), where the row has the value."""
    rows = [row for row in cell.rows if key in row and axis in row]
    return {int(row.get("iteration", i)): (row[axis], row[key]) for i, row in enumerate(rows)}


def _over_k(setting: Setting, metric: str, *, title: str, y_label: str, percent: bool = False) -> Plot:
    """`metric`@k of every row with its interval."""
    series = []
    for finding in setting.findings:
        known = dict(_at_each_k(setting, finding, metric))
        line = [(float(k), e.value) for k, e in known.items()]
        band = [(float(k), e.low, e.high) for k, e in known.items()]
        series.append(Series(finding.agent, styles(setting)[finding.agent], line, band=band))
    return Plot(series, title, "k samples (log₂)", y_label, percent=percent, log2=True)


def _at_each_k(setting: Setting, finding: Finding, metric: str) -> Iterator[tuple[int, Estimate]]:
    estimates = {**finding.summary, **finding.distinct}
    for k in setting.ks:
        if f"{metric}@{k}" in estimates:
            yield k, estimates[f"{metric}@{k}"]


def _numbers(chart: Chart) -> Table:
    """Some of the points of every line, with the range around them."""
    rows = []
    for axis, plot in chart.plots.items():
        for series in plot.series:
            ranges = {x: (low, high) for x, low, high in (series.band or series.spread)}
            for x, y in thinned(series.points, LISTED):
                low, high = ranges.get(x, (y, y))
                shown = percent(Estimate(y, low, high, 0)) if plot.percent else f"{y:.4f} [{low:.4f}, {high:.4f}]"
                rows.append([series.name, axis, f"{x:,.0f}", shown])
    head = ("agent", "over", "at", "value [range]")
    caption = f"At most {LISTED} points of a line; curves.csv has them all."
    return Table(f"Numbers of {chart.name}", head, rows, caption=caption, folded="Numbers")


def csv_curves(settings: Sequence[Setting]) -> str:
    """Long form: every point of every chart. `line` is "mean" (with its interval, where it has one) or a seed."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("setting", "chart", "axis", "agent", "line", "x", "y", "low", "high"))
    for setting in settings:
        for chart in charts(setting):
            for axis, plot in chart.plots.items():
                for series in plot.series:
                    writer.writerows((setting.name, chart.name, axis, series.name, *row) for row in _points(series))
    return out.getvalue()


def _points(series: Series) -> Iterator[tuple[object, ...]]:
    bands = {x: (low, high) for x, low, high in series.band}
    for x, y in series.points:
        yield ("mean", x, y, *bands.get(x, ("", "")))
    for seed, line in series.seeds.items():
        for x, y in line:
            yield seed, x, y, "", ""
