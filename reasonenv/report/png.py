"""The charts of a report as PNG files, for papers and slides. Needs matplotlib."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reasonenv.errors import UserError
from reasonenv.measures.discovery import Origin
from reasonenv.report.charts import Plot, crowded
from reasonenv.report.curves import charts
from reasonenv.report.findings import Setting
from reasonenv.report.page import text_of
from reasonenv.report.results import ORIGIN_COLOURS
from reasonenv.storage import make_folder, replace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE, DPI = (4.6, 3.0), 300  # inches, dots an inch: one column of a paper


def write_png(folder: Path, settings: Sequence[Setting]) -> list[Path]:
    """A file for each chart, axis and setting in `folder`, named after them. Raises `UserError` without matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("PNG charts need matplotlib; pip install 'reasonenv[plots]'") from None
    make_folder(folder)
    written = []
    for setting in settings:
        prefix = ""
        if len(settings) > 1:
            prefix = re.sub(r"[^A-Za-z0-9.]+", "-", setting.name).strip("-") + "-"
        drawings: dict[str, Callable[[Axes], bool]] = {"solved": partial(draw_origins, setting)}
        for chart in charts(setting):
            for axis, plot in chart.plots.items():
                drawings[f"{chart.name}-{axis}"] = partial(draw_lines, plot)
        for name, draw in drawings.items():
            figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
            axes = figure.add_subplot()
            if draw(axes):
                axes.spines[["top", "right"]].set_visible(False)
                drawn = io.BytesIO()
                with rc_context({"text.parse_math": False}):  # a name may hold a dollar
                    figure.savefig(drawn)
                written.append(folder / f"{prefix}{name}.png")
                replace(written[-1], drawn.getvalue())
    return written


def draw_lines(plot: Plot, axes: Axes) -> bool:
    """The plot, as `charts.drawing` has it; False if there is nothing to draw."""
    drawn = [series for series in plot.series if series.points]
    few = not crowded(plot)
    scale, unit = 1, ""
    if plot.percent:
        scale, unit = 100, ", %"
    for series in drawn:
        colour = palette()[series.style.colour]
        dash = (0, tuple(map(int, series.style.dash.split()))) if series.style.dash else "-"
        points = np.array(series.points) * (1, scale)
        axes.plot(*points.T, color=colour, label=series.name, linewidth=1.8, linestyle=dash)
        if not few:
            continue
        for line in series.seeds.values():
            axes.plot(*(np.array(line) * (1, scale)).T, color=colour, alpha=0.35, linewidth=0.7)
        if series.band:
            band = np.array(series.band) * (1, scale, scale)
            axes.fill_between(*band.T, color=colour, alpha=0.14, linewidth=0)
    if plot.reference:
        label, level = plot.reference
        axes.axhline(scale * level, color=palette()["--base"], linestyle="--", linewidth=1.0, label=label)
    if plot.log2 and drawn:
        ticks = [x for x, _ in drawn[0].points]
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.set(xlabel=plot.x_label, ylabel=plot.y_label + unit)
    if few:
        axes.legend(frameon=False, fontsize="small", handlelength=3)
    else:
        axes.legend(frameon=False, fontsize=5, ncols=2, handlelength=3)
    return bool(drawn)


def draw_origins(setting: Setting, axes: Axes) -> bool:
    """Where the solved problems of each row stood before training; False if nothing is known of them."""
    known = {}
    if setting.discovery is not None:
        for row, counts in setting.discovery.origins.items():
            if sum(counts.values()):
                known[row] = np.array([100 * counts.get(origin, 0) / sum(counts.values()) for origin in Origin])
    names = list(known)[::-1]  # upwards
    left = np.zeros(len(names))
    for i, origin in enumerate(Origin):
        shares = np.array([known[name][i] for name in names])
        axes.barh(names, shares, left=left, color=palette()[ORIGIN_COLOURS[origin]], label=str(origin))
        left = left + shares
    axes.set(xlabel="problems that it solves, %", xlim=(0, 100))
    axes.legend(frameon=False, fontsize="x-small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(Origin))
    return bool(known)


@cache
def palette() -> dict[str, str]:
    """CSS variable -> colour of the light page, with which the style sheet begins."""
    light, _, _ = text_of("report.css").partition("}")
    return dict(re.findall(r"(--[\w-]+):\s*(#\w+)", light))
