"""Names that a stranger chose, on the console, in table.txt, in the CSV files and on the page."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from reasonenv.cli import main
from reasonenv.errors import UserError
from reasonenv.report import write_report
from reasonenv.report.formats import csv_text

HOSTILE = "evil\x1b]0;title\x07\x1b[2J\r\x00\u202eabc\u2066\u2028x\ny\t\x9b31m\x7f"
OBEYED = {"Cc", "Cf", "Zl", "Zp", "Cs"}


def obeyed(text: str, keep: str = "\n") -> set[str]:
    return {c for c in text if unicodedata.category(c) in OBEYED and c not in keep}


@pytest.fixture
def hostile(small_suite: Callable[..., Path]) -> Path:
    """A suite in which everything that can be named is called so."""
    folder = small_suite(seeds=(0,), hostile=HOSTILE)
    suite = json.loads((folder / "suite.json").read_text())
    for key in ("title", "description", "command", "hardware"):
        suite[key] = HOSTILE
    suite["versions"][HOSTILE] = HOSTILE
    suite["notices"] = [{"env": HOSTILE, "init": HOSTILE, "variant": HOSTILE, "notice": HOSTILE}]
    (folder / "suite.json").write_text(json.dumps(suite))
    for name in suite["cells"]:
        path = folder / "cells" / name / "cell.json"
        cell = json.loads(path.read_text())
        if name.startswith("grpo"):
            cell["agent"] = HOSTILE
        for key in ("env", "policy", "init", "variant"):
            cell[key] = HOSTILE
        path.write_text(json.dumps(cell))
        manifest = {"hardware": HOSTILE, "versions": {HOSTILE: HOSTILE}, "data": {HOSTILE: HOSTILE}}
        (path.parent / "environment.json").write_text(json.dumps(manifest))
        (path.parent / "run.json").write_text(json.dumps({HOSTILE: HOSTILE, "agent_keys": {HOSTILE: HOSTILE}}))
    (folder / "suite.toml").write_text(f"# {HOSTILE}")
    return folder


def test_a_console_and_a_page_obey_nothing(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(hostile)]) == 0
    out, _ = capsys.readouterr()
    table = (hostile / "table.txt").read_text()
    page = (hostile / "report.html").read_text()
    assert obeyed(out) == obeyed(table) == set()
    assert obeyed(page, "\n\t") == set()
    for text in (out, table, page):
        assert "evil\\x1b]0;title\\x07" in text or "evil␛]0;title" in text
        assert "\\u202eabc" in text
    assert out.count("\n") == table.count("\n") + 2  # no name begins a line of its own
    assert "\ny" not in table
    # in the attribute that a script reads, an escape of JSON would become the character again
    assert "\\u202e" not in page.replace("\\\\u202e", "").replace("\\u202eabc", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_text_cell_is_no_formula_and_a_number_stays_one(start: str, small_suite: Callable[..., Path]) -> None:
    folder = small_suite(seeds=(0,))
    evil = f"{start}cmd|' /C calc'!A0"
    for path in folder.glob("cells/grpo*/cell.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "agent": evil}))
    write_report(folder)
    for name in ("table.csv", "curves.csv"):
        rows = list(csv.reader(io.StringIO((folder / name).read_bytes().decode(), newline="")))
        cells = [cell for row in rows for cell in row]
        shown = evil.replace("\r", "\u240d")  # which begins nothing any more
        assert (shown if shown != evil else f"'{evil}") in cells
        assert evil not in cells
        assert name == "curves.csv" or any(cell.startswith("-") for cell in cells)
        for cell in cells:
            if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
                float(cell)


def test_texts_are_told_from_numbers_by_their_type() -> None:
    assert csv_text([("=1", -0.5, "-0.5", 3, "a=b", "")]) == "'=1,-0.5,'-0.5,3,a=b,\n"
    assert csv_text([(" =1", "\uff1d1", "\u00a0@a", "\t+1", "a b")]) == "' =1,'\uff1d1,'\u00a0@a,'\t+1,a b\n"
    assert csv_text([("\x1b[31mred", "\u202eback", "\r=1")]) == "\u241b[31mred,\\u202eback,\u240d=1\n"


@pytest.mark.parametrize("name", ["../../outside", "/etc", "a/b", "..", ".", "", "a\\b", "a\0b", "..\\x"])
def test_a_cell_is_a_folder_of_the_suite(name: str, small_suite: Callable[..., Path]) -> None:
    folder = small_suite(seeds=(0,))
    suite = json.loads((folder / "suite.json").read_text())
    (folder / "suite.json").write_text(json.dumps({**suite, "cells": [name]}))
    with pytest.raises(UserError, match="cells holds"):
        write_report(folder)
