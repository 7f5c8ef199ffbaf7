"""One run, or one evaluation, as a few lines of text and as HTML for a notebook.

What a folder holds may be a stranger's: the templates escape it, and a chart has numbers alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reasonenv.errors import UserError
from reasonenv.measures.records import RUN, SUMMARY
from reasonenv.report.charts import Drawing, Plot, Series, Style, drawing
from reasonenv.report.load import read_rows_of
from reasonenv.report.page import template
from reasonenv.stats import Estimate
from reasonenv.storage import read_record
from reasonenv.terminal import printable

ACCURACY, REWARD = "eval/greedy_accuracy", "reward"
CURVES = {ACCURACY: "greedy accuracy", REWARD: "reward of the rollouts"}


class Estimates(dict[str, Estimate]):
    """Names of metrics to estimates, which shows itself as a table."""

    def __str__(self) -> str:
        lines = [f"{name:<16} {e.value:.3f}  [{e.low:.3f}, {e.high:.3f}]  n = {e.n}" for name, e in self.items()]
        return "\n".join(map(printable, lines))

    def _repr_html_(self) -> str:
        return template("estimates.html.j2").render(estimates=self)


def gain_text(summary: Mapping[str, Any]) -> str:
    """What a run has gained, in one line."""
    gain, metric = summary["gain"], "greedy accuracy"
    if "auc" in summary:
        metric = "accuracy of the scores"
    return (
        f"{metric} on {summary['problems']} held-out problems: {summary['before']:.3f} -> {summary['after']:.3f}, "
        f"paired difference {gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
    )


def run_text(folder: Path) -> str:
    """A run in one line: what it is, and what it has gained or how far it is."""
    return printable(f"{_title(folder)}: {_state(folder)}")


def run_html(folder: Path) -> str:
    """A run as a table and its learning curves."""
    return template("run.html.j2").render(title=_title(folder), state=_state(folder), curves=_curves(folder))


def _title(folder: Path) -> str:
    try:
        record = read_record(folder / RUN)
    except (OSError, UserError):
        return f"{folder}, no run"
    return (
        f"{folder}: {record.get('agent')} on {record.get('env')} from {record.get('policy')}, seed {record.get('seed')}"
    )


def _state(folder: Path) -> str:
    try:
        if (folder / SUMMARY).is_file():
            return gain_text(read_record(folder / SUMMARY))
        iterations = read_record(folder / RUN)["iterations"]
        done = max((row.get("iteration", 0.0) for row in read_rows_of(folder)), default=0.0)
    except (OSError, UserError, KeyError, TypeError, ValueError):
        return "its files are damaged"
    return f"unfinished, {done:.0f} of {iterations} iterations"


def _curves(folder: Path) -> list[Drawing]:
    """The learning curves that there are."""
    try:
        rows = read_rows_of(folder)
    except UserError:
        return []
    drawings = []
    for key, title in CURVES.items():
        points = [(row["iteration"], row[key]) for row in rows if key in row and "iteration" in row]
        line = Series(title, Style("--c1"), points)
        figure = drawing(Plot([line], title, "iteration", title, percent=key == ACCURACY))
        if figure is not None and all(map(math.isfinite, (figure.x.high, figure.y.high))):
            drawings.append(figure)
    return drawings
