"""A statement holds one idea, and a name says what a thing is. Read from the syntax tree of every file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("reasonenv", "agents", "envs", "benchmarks", "docs", "examples")
FILES = sorted(
    file
    for folder in FOLDERS
    for file in (ROOT / folder).rglob("*.py")
    if not any(p.is_symlink() for p in file.parents)
)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Names that say nothing of what they hold, and metaphors that no paper uses.
VAGUE = {"found", "told", "mine", "theirs", "own"}
METAPHORS = {"chair", "sitter", "ledger", "fence", "fences", "deaf", "card", "contrary", "course"}
# Of the package: as dense as the densest of the code bases that we read, prime-rl's orchestrator.
MOST_COMPREHENSIONS, MOST_CONDITIONALS = 32, 13  # per 1,000 lines


def inside(node: ast.AST, kinds: type | tuple[type, ...]) -> bool:
    """Whether there is one of `kinds` below `node`."""
    return any(isinstance(below, kinds) for below in ast.walk(node) if below is not node)


def nested(source: str) -> list[int]:
    """Lines of a comprehension in a comprehension, a conditional in a conditional, and what is neither but as dense:
    a conditional expression in a comprehension with several `for`, and several statements written as one tuple."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, COMPREHENSIONS):
            several = len(node.generators) > 1 and inside(node, ast.IfExp)
            dense = inside(node, COMPREHENSIONS) or several
        elif isinstance(node, ast.IfExp):
            dense = inside(node, ast.IfExp)
        else:
            dense = isinstance(node, ast.Expr) and isinstance(node.value, ast.Tuple)
        if dense:
            lines.append(node.lineno)
    return lines


def names(source: str) -> set[str]:
    """What a file gives a name to, in words: variables, arguments, functions and classes."""
    bound = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
    return bound


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("[x for x in [y for y in z]]", [1]),
        ("a = 1\nb = 1 if a else 2 if c else 3", [2]),
        ("[x if x else 0 for y in z for x in y]", [1]),
        ("f(), g()", [1]),
        ("[x for y in z for x in y]", []),
        ("[x if x else 0 for x in z]", []),
        ("a = 1 if b else 2\n(c, d) = (1, 2)", []),
    ],
)
def test_dense_statements_are_seen(source: str, lines: list[int]) -> None:
    assert nested(source) == lines


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_statement_holds_one_idea(file: Path) -> None:
    assert nested(file.read_text()) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_names_say_what_things_are(file: Path) -> None:
    bound = names(file.read_text())
    words = {word for name in bound for word in re.split(r"_|(?<=[a-z])(?=[A-Z])", name)}
    assert bound & VAGUE == set()
    assert {word.lower() for word in words} & METAPHORS == set()


def test_the_package_is_no_denser_than_what_we_admire() -> None:
    trees = [file.read_text() for file in FILES if file.relative_to(ROOT).parts[0] == "reasonenv"]
    lines = sum(len(source.splitlines()) for source in trees)
    nodes = [node for source in trees for node in ast.walk(ast.parse(source))]
    comprehensions = sum(isinstance(node, COMPREHENSIONS) for node in nodes)
    conditionals = sum(isinstance(node, ast.IfExp) for node in nodes)
    assert 1000 * comprehensions / lines <= MOST_COMPREHENSIONS
    assert 1000 * conditionals / lines <= MOST_CONDITIONALS
