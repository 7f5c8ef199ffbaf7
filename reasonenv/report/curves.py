"""Which curves a setting has: learning curves, training signals, pass@k, and the numbers behind each of them."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reasonenv.report.charts import Plot, Series
from reasonenv.report.findings import HEADLINE, Setting
from reasonenv.report.load import Cell
from reasonenv.report.table import percent

AXES = ("rollouts", "tokens", "updates", "seconds")  # what equal budgets may be counted in


DASHES = ("", "7 4", "2 4")  # of the first, the second and the third agent of a colour


@dataclass(frozen=True)
class Chart:
    """A drawing with its caption and the numbers that it shows."""

    name: str  # of its file
    caption: str
    plots: Mapping[str, Plot]  # by the name of the horizontal axis; a reader chooses among several
    head: Sequence[str]
    numbers: Sequence[Sequence[str]]


def colours(setting: Setting) -> Mapping[str, str]:
    """Row -> CSS variable: what is no agent is neutral, agents take the palette in order of name."""
    neutral = dict.fromkeys((setting.baseline, *setting.references), "--base")
    return {**neutral, **{agent: f"--c{i % 6 + 1}" for i, agent in enumerate(_agents(setting))}}


def dashes(setting: Setting) -> Mapping[str, str]:
    """Row -> how its line is broken, so that no two agents look alike."""
    neutral = dict.fromkeys((setting.baseline, *setting.references), "")
    return {**neutral, **{agent: DASHES[i // 6 % len(DASHES)] for i, agent in enumerate(_agents(setting))}}


def _agents(setting: Setting) -> list[str]:
    return sorted({cell.agent for cell in setting.cells} - {setting.baseline, *setting.references})


def charts(setting: Setting) -> list[Chart]:
    """The charts of a setting in reading order."""
    baseline = next((f for f in setting.findings if f.agent == setting.baseline), None)
    reference = None
    if baseline is not None and HEADLINE in baseline.summary:
        reference = (setting.baseline, baseline.summary[HEADLINE].value)
    return [
        _curve(
            setting,
            "eval/greedy_accuracy",
            title="Greedy accuracy while learning",
            caption="Thick: mean over seeds. Thin: each seed. Dashed: where all began.",
            y_label="greedy accuracy",
            axes=AXES,
            percent=True,
            reference=reference,
        ),
        _passes(setting),
        _distinct(setting),
        _curve(
            setting,
            "reward",
            title="Reward of training samples",
            caption="Mean over the samples of each iteration.",
            y_label="reward",
        ),
        _curve(
            setting,
            "entropy",
            title="Entropy of the policy",
            caption="Mean over training tokens; near zero, exploration has ended.",
            y_label="nats per token",
        ),
    ]


def _curve(
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
    plots, numbers = {}, list[list[str]]()
    for axis in axes:
        series = []
        for agent, colour in colours(setting).items():
            cells = [cell for cell in setting.cells if cell.agent == agent and agent != setting.baseline]
            lines = {cell.seed: line for cell in cells if (line := _line(cell, key, axis))}
            mean = _mean(list(lines.values()))
            seeds = {seed: list(line.values()) for seed, line in lines.items()} if len(lines) > 1 else {}
            series.append(Series(agent, colour, list(mean.values()), seeds, dash=dashes(setting)[agent]))
            numbers += [[agent, f"{step}", axis, f"{x:.0f}", f"{y:.4f}"] for step, (x, y) in mean.items()]
        plots[axis] = Plot(series, title, axis, y_label, percent=percent, reference=reference)
    return Chart(
        key.rpartition("/")[2],
        caption,
        plots,
        ("agent", "iteration", "axis", "used", f"{key}, mean over seeds"),
        numbers,
    )


def _line(cell: Cell, key: str, axis: str) -> dict[int, tuple[float, float]]:
    """Iteration -> (used of the axis, value), where the row has the value."""
    rows = [row for row in cell.rows if key in row and axis in row]
    return {int(row.get("iteration", i)): (row[axis], row[key]) for i, row in enumerate(rows)}


def _mean(lines: Sequence[Mapping[int, tuple[float, float]]]) -> dict[int, tuple[float, float]]:
    """Mean over seeds at the iterations that all seeds have reached, so that no seed bends the line by ending early."""
    values: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for line in lines:
        for step, point in line.items():
            values[step].append(point)
    whole = {step: at for step, at in sorted(values.items()) if len(at) == len(lines)}
    return {step: (sum(x for x, _ in at) / len(at), sum(y for _, y in at) / len(at)) for step, at in whole.items()}


def _passes(setting: Setting) -> Chart:
    series, numbers = [], []
    palette = colours(setting)
    for finding in setting.findings:
        known = {k: finding.summary[f"pass@{k}"] for k in setting.ks if f"pass@{k}" in finding.summary}
        line = [(float(k), e.value) for k, e in known.items()]
        band = [(float(k), e.low, e.high) for k, e in known.items()]
        series.append(
            Series(finding.agent, palette[finding.agent], line, band=band, dash=dashes(setting)[finding.agent])
        )
        numbers += [[finding.agent, f"{k}", percent(e)] for k, e in known.items()]
    title = "pass@k on held-out problems"
    caption = "Chance that one of k samples is correct. Bands: 95 % at each k, over other questions and other seeds."
    plot = Plot(series, title, "k samples (log₂)", "pass@k", percent=True, log2=True)
    return Chart("pass", caption, {"k": plot}, ("agent", "k", "pass@k in % [95 % interval]"), numbers)


def _distinct(setting: Setting) -> Chart:
    plots, numbers = {}, []
    for which in ("correct", "all"):
        series = []
        for finding in setting.findings:
            names = {k: f"{which}@{k}" for k in setting.ks}
            known = {k: finding.distinct[name] for k, name in names.items() if name in finding.distinct}
            band = [(float(k), e.low, e.high) for k, e in known.items()]
            line = [(float(k), e.value) for k, e in known.items()]
            own = colours(setting)[finding.agent]
            series.append(Series(finding.agent, own, line, band=band, dash=dashes(setting)[finding.agent]))
            numbers += [
                [finding.agent, which, f"{k}", f"{e.value:.2f} [{e.low:.2f}, {e.high:.2f}]"] for k, e in known.items()
            ]
        title = "Different solutions among k samples"
        plots[which] = Plot(series, title, "k samples (log₂)", "different solutions", log2=True)
    caption = "By their arithmetic; of the correct samples among k or of all k. Bands as for pass@k."
    return Chart("distinct", caption, plots, ("agent", "samples", "k", "different [95 % interval]"), numbers)


def csv_curves(settings: Sequence[Setting]) -> str:
    """Long form: every point of every chart. `line` is "mean" (with its interval, where it has one) or a seed."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("setting", "chart", "axis", "agent", "line", "x", "y", "low", "high"))
    for setting in settings:
        for chart in charts(setting):
            for axis, plot in chart.plots.items():
                for s in plot.series:
                    key, bands = (setting.name, chart.name, axis, s.name), {x: (low, high) for x, low, high in s.band}
                    for x, y in s.points:
                        writer.writerow((*key, "mean", x, y, *bands.get(x, ("", ""))))
                    for seed, line in s.seeds.items():
                        writer.writerows((*key, seed, x, y, "", "") for x, y in line)
    return out.getvalue()
