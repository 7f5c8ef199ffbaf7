"""Files are short, well named, in one place only, and know nothing of the machine that they were written on."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINKS = {"reasonenv/agents", "reasonenv/envs", "reasonenv/suites"}

PATHS = re.compile(r"(?<![\w.~)}])/(?:work|root|home|Users|mnt)/\w")
REGISTRIES = re.compile(r"index-url|find-links|trusted-host|pythonhosted|\bpypi\.\w", re.IGNORECASE)


def tracked(*options: str) -> list[str]:
    """Names of the files that git tracks and that the working tree still has."""
    output = subprocess.run(["git", "ls-files", *options], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [line for line in output.splitlines() if (ROOT / line.split("\t")[-1]).exists()]


def modules(*folders: str) -> list[Path]:
    """Tracked Python files, and those about to be: git names what is behind a link once, at its real place."""
    names = tracked("--cached", "--others", "--exclude-standard")
    return [ROOT / name for name in names if name.endswith(".py") and name.startswith(folders)]


def test_no_file_bears_a_name_of_the_standard_library() -> None:
    # run from its folder, a `types.py` would stand in for the real one everywhere
    found = []
    for file in modules("reasonenv/", "agents/", "envs/"):
        name = file.parent.name if file.stem == "__init__" else file.stem
        found += [file] if name in sys.stdlib_module_names - {"__main__"} else []
    assert found == []


def test_no_file_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert [file for file in modules("reasonenv/", "agents/", "envs/") if drawers & {file.stem, file.parent.name}] == []


@pytest.mark.parametrize(("folder", "limit"), [("reasonenv/", 500), ("envs/", 500), ("agents/", 150)])
def test_files_can_be_read_whole(folder: str, limit: int) -> None:
    lengths = {file.relative_to(ROOT).as_posix(): len(file.read_text().splitlines()) for file in modules(folder)}
    assert lengths
    assert {name: length for name, length in lengths.items() if length > limit} == {}


@pytest.mark.parametrize(
    "said", [r"licence", r"Size:|[0-9] problems", r"^ +question ", r"^ +answer ", r"[Ss]ource|github\.com"]
)
def test_a_task_file_says_where_its_data_is_from_its_licence_and_size_and_shows_a_sample(said: str) -> None:
    makers = [
        file for file in modules("envs/") if re.search(r"^def \w+\(\*, |^def \w+\(\n    \*,", file.read_text(), re.M)
    ]
    makers.append(ROOT / "envs" / "rg.py")  # whose factories have the names of the generators
    assert len(makers) > 9
    heads = {file.name: ast.get_docstring(ast.parse(file.read_text()), clean=False) or "" for file in makers}
    assert [name for name, head in heads.items() if not re.search(said, head, re.MULTILINE)] == []


@pytest.mark.parametrize(
    ("text", "guilty"),
    [
        ("cd " + "/home" + "/ada/x", True),
        ("see '" + "/root" + "/x'", True),
        ("--extra-" + "index" + "-url", True),
        ("docs/home/x", False),
        ("a piece of /work", False),
        ("https://example.org/home/x", False),
    ],
)
def test_a_machine_is_recognised(text: str, guilty: bool) -> None:
    assert bool(PATHS.search(text) or REGISTRIES.search(text)) == guilty


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    found = []
    for name in tracked():
        if (ROOT / name).is_file() and (ROOT / name) != Path(__file__).resolve():
            text = (ROOT / name).read_text(errors="ignore")
            found += [f"{name}: {match.group()}" for pattern in (PATHS, REGISTRIES) for match in pattern.finditer(text)]
    assert found == []


def test_the_three_package_links_are_the_only_links() -> None:
    # so pytest, which is pointed at tests/, meets every file once
    assert {line.split("\t")[1] for line in tracked("--stage") if line.startswith("120000")} == LINKS


def test_ruff_reads_every_module_once() -> None:
    listing = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files"], cwd=ROOT, capture_output=True, text=True
    )
    files = [Path(line) for line in listing.stdout.splitlines() if line.endswith(".py")]
    assert sorted(files) == sorted(modules(""))


def test_mypy_reads_every_module_once_and_by_its_import_name() -> None:
    program = (
        "import json; from mypy.main import process_options as options;"
        "print(json.dumps([(s.module, s.path) for s in options([])[0]]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    sources = [(module, (ROOT / path).resolve()) for module, path in json.loads(done.stdout)]
    suites = modules("benchmarks/suites/")
    assert sorted(path for _, path in sources) == sorted(modules("reasonenv/", "agents/", "envs/") + suites)
    assert [module for module, _ in sources if module.split(".")[0] != "reasonenv"] == []
