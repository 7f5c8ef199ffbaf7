"""Who may import whom, read from the syntax tree of every file."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The house from the ground up. A room imports itself and the lines before it; rooms of one line do not see each other.
ORDER = (
    {"errors", "reasoning_gym_names", "seeding", "sources", "terminal", "version"},
    {"registry", "settings", "storage"},
    {"core"},
    {"codec", "stats", "tokenizer"},
    {"tasks"},
    {"verify"},
    {"catalog", "measures"},
    {"data"},
    {"mdp", "policy"},
    {"sampling"},
    {"rollout"},
    {"learn"},
    {"experiment"},
    {"checks", "report", "testing"},
    {"run"},
    {"__init__"},  # the names that `import reasonenv` offers; the rooms above it name each other directly
    {"commands"},
    {"cli"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
# What the report may know: it reads stored files, and neither runs nor trains.
RECORDS = {"codec", "core", "errors", "seeding", "stats", "storage", "tasks"}
MEASURES = RECORDS | {"measures", "registry", "terminal", "verify"}
REPORT = MEASURES | {"report"}
SHIPPED = {"agents", "envs", "suites"}  # reached by links in a checkout; strings may name them, imports may not


def house() -> list[Path]:
    """The modules of `reasonenv/` itself, without what the links lead to."""
    files = (ROOT / "reasonenv").rglob("*.py")
    return sorted(file for file in files if file.relative_to(ROOT / "reasonenv").parts[0] not in SHIPPED)


def room(file: Path) -> str:
    """`reasonenv/mdp/env.py` -> `mdp`; `reasonenv/core.py` -> `core`."""
    return Path(file.relative_to(ROOT / "reasonenv").parts[0]).stem


def imports(source: str, package: str = "reasonenv") -> Iterator[str]:
    """Dotted names that `source`, a module of `package`, imports: inside functions and for types only as well."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def rooms_imported(file: Path) -> set[str]:
    """Rooms and shipped folders that a file imports. A name of `reasonenv` itself counts as `__init__`."""
    relative = file.relative_to(ROOT).parent.as_posix().replace("/", ".")
    package = relative if relative.startswith("reasonenv") else f"reasonenv.{relative}"
    names = [name.split(".") for name in imports(file.read_text(), package)]
    seconds = [[*name, "__init__"][1] for name in names if name[0] == "reasonenv"]
    return {second if second in LEVEL or second in SHIPPED else "__init__" for second in seconds}


def test_imports_are_read_in_every_form() -> None:
    source = "import a.b as c, d\nfrom e.f import g\n"
    source += "def h():\n    from . import i\n    from .j import k\n    from ..l import m"
    expected = ["a.b", "d", "e.f.g", "reasonenv.mdp.i", "reasonenv.mdp.j.k", "reasonenv.l.m"]
    assert sorted(imports(source, "reasonenv.mdp")) == sorted(expected)


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room(file) for file in house()} <= set(LEVEL)


@pytest.mark.parametrize("file", house(), ids=lambda file: file.relative_to(ROOT).as_posix())
def test_rooms_import_only_from_below(file: Path) -> None:
    own = room(file)
    allowed = {own, *(other for other in LEVEL if LEVEL[other] < LEVEL[own])}
    assert rooms_imported(file) - allowed == set()


@pytest.mark.parametrize(("folder", "allowed"), [("report", REPORT), ("measures", MEASURES)])
def test_reports_are_made_from_stored_files_alone(folder: str, allowed: set[str]) -> None:
    for file in (ROOT / "reasonenv" / folder).rglob("*.py"):
        assert rooms_imported(file) - allowed == set(), file


def test_reports_are_made_without_torch() -> None:
    program = (
        "import importlib, pkgutil, sys, reasonenv.measures as measures, reasonenv.report as report\n"
        "for room in (measures, report):\n"
        "    for module in pkgutil.iter_modules(room.__path__):\n"
        "        importlib.import_module(f'{room.__name__}.{module.name}')\n"
        "print('torch' in sys.modules, len(sys.modules) > 100)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False True\n", "")


def test_agents_import_no_env_and_envs_no_agent() -> None:
    # agents may import each other: a variant is a subclass of its parent
    for file in (ROOT / "agents").rglob("*.py"):
        assert rooms_imported(file) & {"envs", "mdp"} == set(), file
    for file in (ROOT / "envs").rglob("*.py"):
        assert rooms_imported(file) & {"agents", "learn"} == set(), file


def test_import_reasonenv_loads_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "vllm", "peft", "tensorboard")
    program = f"import sys, reasonenv; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("folder", ["benchmarks", "examples"])
def test_what_is_imported_where_no_test_runs_exists(folder: str) -> None:
    for file in (ROOT / folder).rglob("*.py"):
        for name in imports(file.read_text()):
            module, _, last = name.rpartition(".")
            if module.startswith("reasonenv"):
                assert hasattr(importlib.import_module(module), last) or importlib.util.find_spec(name), (file, name)


def modules_imported(file: Path, modules: set[str]) -> set[str]:
    """Those of `modules` that a file imports anywhere; `from a import b` of a module `a.b` imports `a.b`."""
    module = module_of(file)
    package = module if file.stem == "__init__" else module.rpartition(".")[0]
    imported = set()
    for name in imports(file.read_text(), package):
        while name and name not in modules:  # of `a.b.c`, where c is no module, `a.b`
            name = name.rpartition(".")[0]
        imported.add(name)
    return imported & modules - {module}


def module_of(file: Path) -> str:
    dotted = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    return dotted.removesuffix(".__init__")


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Nodes of which each leads to the next and the last to the first; empty if there are none (depth first)."""
    finished: set[str] = set()
    path: list[str] = []

    def visit(node: str) -> list[str]:
        if node in path:
            return path[path.index(node) :]
        if node in finished:
            return []
        path.append(node)
        for other in sorted(graph[node]):
            if nodes := visit(other):
                return nodes
        finished.add(path.pop())
        return []

    for node in sorted(graph):
        if nodes := visit(node):
            return nodes
    return []


def test_circles_are_found() -> None:
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"d", "b"}, "d": set()}) == ["b", "c"]


def test_no_modules_import_each_other_in_a_circle() -> None:
    files = house()
    modules = {module_of(file) for file in files}
    assert circle({module_of(file): modules_imported(file, modules) for file in files}) == []
