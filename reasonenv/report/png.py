"""The charts of a report as PNG files, for papers and slides. Needs matplotlib."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reasonenv.errors import UserError
from reasonenv.measures.discovery import Origin
from reasonenv.report.charts import Plot, crowded
from reasonenv.report.curves import charts
from reasonenv.report.findings import Setting
from reasonenv.report.look import LIGHT
from reasonenv.report.sharpening import ORIGIN_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE, DPI = (4.6, 3.0), 300  # inches, dots an inch: one column of a paper


def write_png(folder: Path, settings: Sequence[Setting]) -> list[Path]:
    """A file for each chart, axis and setting in `folder`, named after them. Raises `UserError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("PNG charts need matplotlib; pip install 'reasonenv[plots]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for setting in settings:
        prefix = "" if len(settings) == 1 else re.sub(r"[^A-Za-z0-9.]+", "-", setting.name).strip("-") + "-"
        plots = {f"{c.name}-{axis}": plot for c in charts(setting) for axis, plot in c.plots.items()}
        drawings: dict[str, Callable[[Axes], bool]] = {name: partial(draw_lines, plot) for name, plot in plots.items()}
        drawings["solved"] = partial(draw_origins, setting)
        for name, draw in drawings.items():
            figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
            axes = figure.add_subplot()
            if draw(axes):
                axes.spines[["top", "right"]].set_visible(False)
                path = folder / f"{prefix}{name}.png"
                figure.savefig(path)
                written.append(path)
    return written


def draw_lines(plot: Plot, axes: Axes) -> bool:
    """The plot, as `charts.line_chart` has it; False if there is nothing to draw."""
    drawn = [s for s in plot.series if s.points]
    few = not crowded(plot)
    scale = 100 if plot.percent else 1
    for s in drawn:
        colour, style = LIGHT[s.colour], (0, tuple(map(int, s.dash.split()))) if s.dash else "-"
        xs, ys = [x for x, _ in s.points], [scale * y for _, y in s.points]
        axes.plot(xs, ys, color=colour, label=s.name, linewidth=1.8, linestyle=style)
        for line in s.seeds.values() if few else ():
            axes.plot([x for x, _ in line], [scale * y for _, y in line], color=colour, alpha=0.35, linewidth=0.7)
        if s.band and few:
            low, high = ([scale * point[i] for point in s.band] for i in (1, 2))
            axes.fill_between([x for x, _, _ in s.band], low, high, color=colour, alpha=0.14, linewidth=0)
    if plot.reference:
        label, level = plot.reference
        axes.axhline(scale * level, color=LIGHT["--base"], linestyle="--", linewidth=1.0, label=label)
    if plot.log2 and drawn:
        axes.set_xscale("log", base=2)
        axes.set_xticks([x for x, _ in drawn[0].points], [f"{x:g}" for x, _ in drawn[0].points])
    axes.set(xlabel=plot.x_label, ylabel=f"{plot.y_label}, %" if plot.percent else plot.y_label)
    axes.legend(frameon=False, fontsize="small" if few else 5, ncols=1 if few else 2, handlelength=3)
    return bool(drawn)


def draw_origins(setting: Setting, axes: Axes) -> bool:
    """Where the solved problems of each row stood before training; False if nothing is known of them."""
    rows = {} if setting.discovery is None else setting.discovery.origins
    known = {row: counts for row, counts in list(rows.items())[::-1] if sum(counts.values())}
    left = dict.fromkeys(known, 0.0)
    for origin in Origin:
        shares = {agent: 100 * counts.get(origin, 0) / sum(counts.values()) for agent, counts in known.items()}
        colour = LIGHT[ORIGIN_COLOURS[origin]]
        axes.barh(list(shares), list(shares.values()), left=list(left.values()), color=colour, label=str(origin))
        left = {agent: left[agent] + share for agent, share in shares.items()}
    axes.set(xlabel="problems that it solves, %", xlim=(0, 100))
    axes.legend(frameon=False, fontsize="x-small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(Origin))
    return bool(known)
