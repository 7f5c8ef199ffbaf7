"""Each example does what it says, in a folder of its own, as `make examples` runs it."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

# Another run of a script than that without arguments: the package that it needs, and its arguments.
VARIANTS = {"python_tool.py": ("vllm", ["--sampler", "vllm"])}
# What an example prints last, beside what it asserts itself.
PRINTS = {
    "gym_loop.py": r"terminated, correct: found '(\d+)', gold '\1'",
    "sb3_ppo.py": r"mean reward of an episode: 0\.0\d\d -> 0\.[1-9]\d\d",
    "vector_loop.py": r"32 of 32 answers are right, one was '#### \d+'",
}


def missing(file: Path) -> list[str]:
    """The packages that a script imports and that are not installed."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules.append(str(node.module))
    packages = {module.partition(".")[0] for module in modules}
    return sorted(name for name in packages if importlib.util.find_spec(name) is None)


def run(file: Path, folder: Path, *arguments: str) -> str:
    """The last line that a script prints in an empty folder."""
    command = [sys.executable, str(file), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return (done.stdout.splitlines() or [""])[-1]


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_a_script_runs_and_finds_what_it_says(file: Path, tmp_path: Path) -> None:
    if missing(file):
        pytest.skip(f"{', '.join(missing(file))} not installed")
    assert re.fullmatch(PRINTS.get(file.name, ".*"), run(file, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("file", [file for file in SCRIPTS if file.name in VARIANTS], ids=lambda file: file.name)
def test_a_variant_of_a_script_runs(file: Path, tmp_path: Path) -> None:
    package, arguments = VARIANTS[file.name]
    pytest.importorskip(package)
    run(file, tmp_path, *arguments)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_a_notebook_runs_from_its_first_cell_to_its_last(file: Path, tmp_path: Path) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(file, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
