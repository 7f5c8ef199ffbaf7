"""Which curves a setting has: learning curves, training signals, pass@k, and the numbers behind each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from reasonenv.report.charts import SHAPES, Plot, Point, Range, Series, Style, crowded, drawing
from reasonenv.report.findings import HEADLINE, Setting
from reasonenv.report.formats import csv_text
from reasonenv.report.load import Cell
from reasonenv.report.sections import Section

AXES = ("rollouts", "tokens", "updates", "seconds")  # what equal budgets may be counted in
COLOURS = 6
DASHES = ("", "9 3", "3 3", "11 3 3 3", "6 4", "2 5")  # the last two colours are the nearest to others
LISTED = 40  # points of a line in the table of numbers, about
ACCURACY = "eval/greedy_accuracy"
LEARNING = {  # key of a row of metrics -> title, caption and name of the vertical axis
    ACCURACY: (
        "Greedy accuracy while learning",
        "Thick: mean over seeds. Thin: each seed. Dotted: where all began.",
        "greedy accuracy",
    ),
    "reward": ("Reward of training samples", "Mean over the samples of each iteration.", "reward"),
    "entropy": (
        "Entropy of the policy",
        "Mean over training tokens; near zero, exploration has ended.",
        "nats per token",
    ),
}


@dataclass(frozen=True)
class Chart:
    """A drawing with its caption; a reader chooses among several plots by the name of their horizontal axis."""

    name: str  # of its file
    caption: str
    plots: Mapping[str, Plot]


def styles(setting: Setting) -> dict[str, Style]:
    """Row -> how it is drawn: what is no agent is neutral, agents are told apart by colour, dash and mark."""
    neutral = (setting.baseline, *setting.references)
    drawn = dict.fromkeys(neutral, Style("--base"))
    agents = {cell.agent for cell in setting.cells}
    for i, agent in enumerate(sorted(agents.difference(neutral))):
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
        figures.append({"title": first.title, "caption": caption, "drawings": drawings})
    return Section("Curves", "curves", {"figures": figures, "listed": LISTED}, "curves.html.j2")


def charts(setting: Setting) -> list[Chart]:
    """The charts of a setting in reading order."""
    greedy, reward, entropy = map(partial(_learning, setting), LEARNING)
    title = "pass@k on held-out problems"
    caption = "Chance that one of k samples is correct. Bands: 95 % at each k, over other questions and other seeds."
    passes = Chart("pass", caption, {"k": _over_k(setting, "pass", title, "pass@k", percent=True)})
    title = "Different solutions among k samples"
    caption = "By their arithmetic; of the correct samples among k or of all k. Bands as for pass@k."
    plots = {which: _over_k(setting, which, title, "different solutions") for which in ("correct", "all")}
    return [greedy, passes, Chart("distinct", caption, plots), reward, entropy]


def _learning(setting: Setting, key: str) -> Chart:
    """A metric of each iteration against what has been used: greedy accuracy against all that may be counted."""
    title, caption, y_label = LEARNING[key]
    greedy, reference, plots = key == ACCURACY, None, {}
    for finding in setting.findings:
        if greedy and finding.agent == setting.baseline and HEADLINE in finding.summary:
            reference = (setting.baseline, finding.summary[HEADLINE].value)
    for axis in AXES if greedy else AXES[:1]:
        series = []
        for agent, style in styles(setting).items():
            lines = {}
            for cell in setting.cells:
                if cell.agent == agent and agent != setting.baseline:
                    lines[cell.seed] = _line(cell, key, axis)
            series.append(_series(agent, style, lines))
        plots[axis] = Plot(series, title, axis, y_label, percent=greedy, reference=reference)
    return Chart(key.rpartition("/")[2], caption, plots)


def _series(agent: str, style: Style, by_seed: Mapping[int, Mapping[int, Point]]) -> Series:
    """The mean is over the iterations that all seeds have reached, so that no seed bends the line by ending early."""
    lines = {seed: line for seed, line in by_seed.items() if line}
    mean, spread = list[Point](), list[Range]()
    for step in sorted(set.intersection(*map(set, lines.values()))) if lines else ():
        used, values = zip(*(line[step] for line in lines.values()), strict=True)
        mean.append((sum(used) / len(used), sum(values) / len(values)))
        spread.append((mean[-1][0], min(values), max(values)))
    if len(lines) < 2:
        return Series(agent, style, mean)
    return Series(agent, style, mean, {seed: list(line.values()) for seed, line in lines.items()}, spread=spread)


def _line(cell: Cell, key: str, axis: str) -> dict[int, Point]:
    """Iteration -> (used of the axis, value), where the row has the value."""
    line: dict[int, Point] = {}
    for row in cell.rows:
        if key in row and axis in row:
            line[int(row.get("iteration", len(line)))] = (row[axis], row[key])
    return line


def _over_k(setting: Setting, metric: str, title: str, y_label: str, *, percent: bool = False) -> Plot:
    """`metric`@k of every row with its interval."""
    series = []
    for finding in setting.findings:
        estimates, line, band = {**finding.summary, **finding.distinct}, list[Point](), list[Range]()
        for k in setting.ks:
            if f"{metric}@{k}" in estimates:
                estimate = estimates[f"{metric}@{k}"]
                line.append((float(k), estimate.value))
                band.append((float(k), estimate.low, estimate.high))
        series.append(Series(finding.agent, styles(setting)[finding.agent], line, band=band))
    return Plot(series, title, "k samples (log₂)", y_label, percent=percent, log2=True)


def csv_curves(settings: Sequence[Setting]) -> str:
    """Long form: every point of every chart. `line` is "mean" (with its interval, where it has one) or a seed."""
    rows: list[tuple[object, ...]] = [("setting", "chart", "axis", "agent", "line", "x", "y", "low", "high")]
    for setting in settings:
        for chart in charts(setting):
            for axis, plot in chart.plots.items():
                for series in plot.series:
                    for point in _points(series):
                        rows.append((setting.name, chart.name, axis, series.name, *point))
    return csv_text(rows)


def _points(series: Series) -> Iterator[tuple[object, ...]]:
    bands = {}
    if series.band:
        bands = series.ranges()
    for x, y in series.points:
        yield ("mean", x, y, *bands.get(x, ("", "")))
    for seed, line in series.seeds.items():
        for x, y in line:
            yield seed, x, y, "", ""
