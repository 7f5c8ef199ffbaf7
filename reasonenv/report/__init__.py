"""The report of suites and runs: one HTML page, its numbers as CSV, its charts as PNG, a text table for the console."""

from __future__ import annotations

from pathlib import Path

from reasonenv.report.curves import csv_curves
from reasonenv.report.findings import settings
from reasonenv.report.page import render
from reasonenv.report.runs import load_folders
from reasonenv.report.text_table import csv_table, text_table
from reasonenv.storage import check_writable, replace

__all__ = ["console_text", "write_report"]

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


def console_text(page: Path) -> str:
    """What the console says of a report that `write_report` has written: its text table, and where the page is."""
    return f"{(page.parent / TABLE).read_text(encoding='utf-8')}\nreport: {page}"
