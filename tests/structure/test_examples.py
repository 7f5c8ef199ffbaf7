"""An example is read at a glance, says what it shows, shows that it is so, and is found from a page."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
LONGEST = 20  # lines, with the docstring and blank ones

NAMES = pytest.mark.parametrize("file", [*SCRIPTS, *NOTEBOOKS], ids=lambda file: file.name)


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_a_script_is_short_and_says_and_checks_what_it_shows(file: Path) -> None:
    source = file.read_text()
    tree = ast.parse(source)
    assert len(source.splitlines()) <= LONGEST
    assert (ast.get_docstring(tree) or "").partition("\n")[0].strip()
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_a_notebook_is_stored_without_what_it_printed(file: Path) -> None:
    cells = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in cells] == [[]] * len(cells)
    assert [cell["execution_count"] for cell in cells] == [None] * len(cells)


@NAMES
def test_an_example_is_found_from_a_page(file: Path) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    linked = [page.name for page in pages if re.search(rf"\(\S*examples/{re.escape(file.name)}\)", page.read_text())]
    assert linked
