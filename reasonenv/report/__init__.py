"""The report of suites and runs: one HTML page, its numbers as CSV, its charts as PNG, a text table for the console."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from reasonenv.errors import UserError
from reasonenv.report.curves import csv_curves
from reasonenv.report.findings import settings
from reasonenv.report.page import render
from reasonenv.report.runs import load_folders
from reasonenv.report.text_table import csv_table, text_table
from reasonenv.storage import check_writable, replace

__all__ = ["console_text", "report", "write_report"]

TABLE = "table.txt"


def write_report(folder: Path, *more: Path, out: Path | None = None, png: bool = False) -> Path:
    """Writes `report.html`, `table.csv`, `curves.csv` and `table.txt` of the suites and runs in some folders.

    They may be finished or not. The files go to `out`, or into the first folder; with `png` the charts are in `charts/`
    there too. Returns the page's path.

    Raises `UserError` naming file and line for anything in a folder that is missing or malformed.
    """
    out = folder if out is None else out
    check_writable(out)
    suite = load_folders([folder, *more])
    findings = settings(suite)
    tables = {"table.csv": csv_table(findings), "curves.csv": csv_curves(findings)}
    page = out / "report.html"
    files = {**tables, TABLE: text_table(findings), page.name: render(suite, findings, tables)}
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        replace(out / name, content.encode(errors="replace"))  # a title may hold half a surrogate pair
    if png:
        from reasonenv.report.png import write_png

        write_png(out / "charts", findings)
    return page


def report(runs: Any, *, out: Path | str | None = None, png: bool = False) -> Path:
    """The page of some runs and suites, from what is stored: `reasonenv.report([first, second])`.

    `runs` is a `reasonenv.Run` or a folder, or several of them; other arguments and errors are those of `write_report`.
    """
    if isinstance(runs, str) or not isinstance(runs, Iterable):
        runs = [runs]
    folders = [Path(getattr(run, "folder", run)) for run in runs]
    if not folders:
        raise UserError("there is nothing to report on; give at least one run")
    return write_report(*folders, out=None if out is None else Path(out), png=png)


class _CallablePackage(ModuleType):
    """`reasonenv.report` is this package, whose import sets that name, and what people call: both."""

    __call__ = staticmethod(report)


sys.modules[__name__].__class__ = _CallablePackage


def console_text(page: Path) -> str:
    """What the console says of a report that `write_report` has written: its text table, and where the page is."""
    return f"{(page.parent / TABLE).read_text(encoding='utf-8')}\nreport: {page}"
