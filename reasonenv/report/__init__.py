"""The report of a suite: one HTML page, its numbers as CSV, its charts as PNG, and a text table for the console."""

from __future__ import annotations

from pathlib import Path

from reasonenv.report.curves import csv_curves
from reasonenv.report.findings import settings
from reasonenv.report.load import load_suite
from reasonenv.report.page import render
from reasonenv.report.table import csv_table, text_table
from reasonenv.storage import replace

__all__ = ["told", "write_report"]

TABLE = "table.txt"


def write_report(folder: Path, *, png: bool = False) -> Path:
    """Writes `report.html`, `table.csv`, `curves.csv` and `table.txt` into a suite folder, finished or not.

    Returns the page's path. With `png` the charts are in `charts/` too.

    Raises `UserError` naming file and line for anything in the folder that is missing or malformed.
    """
    suite = load_suite(folder)
    found = settings(suite)
    page = folder / "report.html"
    for path, text in (
        (folder / "table.csv", csv_table(found)),
        (folder / "curves.csv", csv_curves(found)),
        (folder / TABLE, text_table(found)),
        (page, render(suite, found)),
    ):
        replace(path, text.encode(errors="replace"))  # a title or a question may hold half a surrogate pair
    if png:
        from reasonenv.report.png import write_png

        write_png(folder / "charts", found)
    return page


def told(page: Path) -> str:
    """What the console says of a report that `write_report` has written: its text table, and where the page is."""
    return f"{(page.parent / TABLE).read_text(encoding='utf-8')}\nreport: {page}"
