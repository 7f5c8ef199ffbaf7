"""An agent file is what sets it apart: no two of them say the same thing at length."""

from __future__ import annotations

import ast
from itertools import combinations
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "agents"
SHARED = 6  # lines of logic that two files may not have in common
LONGEST = 150  # lines of a file, with its docstring


class _Plain(ast.NodeTransformer):
    """What is left of a module when names of its own, wording and imports are not counted."""

    def __init__(self, own: set[str]) -> None:
        self.own = own

    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = "Own"
        node.body = [*node.body, ast.Pass()]  # a class of a docstring alone
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        declared = [target.id for target in node.targets if isinstance(target, ast.Name)] == ["Config"]
        return None if declared else self.generic_visit(node)  # every agent says what its Config is

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return None if node.value is None else self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name("Own") if node.id in self.own else node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node


def logic(source: str) -> list[str]:
    """The lines that do something, written in one way."""
    tree = ast.parse(source)
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    lines = ast.unparse(ast.fix_missing_locations(_Plain(own).visit(tree))).splitlines()
    return [line for line in lines if line.strip() not in ("", "pass")]


def windows(source: str) -> set[tuple[str, ...]]:
    """Every run of `SHARED` lines."""
    lines = logic(source)
    return {tuple(lines[i : i + SHARED]) for i in range(len(lines) - SHARED + 1)}


COPY = '''
class {name}(PolicyGradient):
    """{text}"""
    Config = {name}Config

    def advantage(self, batch):
        r = batch.rewards.sum(dim=1)  # {text}
        found = centered(r,
                         batch.group)
        return found[:, None]

    def weights(self, batch):
        return token_mean(batch.mask)
'''


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        (("", ""), True),
        (("r = batch", "r=  batch"), True),
        (("token_mean", "sequence_mean"), True),
        (("centered", "zscore"), False),
    ],
)
def test_a_copy_is_seen_through_its_names_and_wording(change: tuple[str, str], shared: bool) -> None:
    one = COPY.format(name="One", text="The first.")
    other = COPY.replace(*change, 1).format(name="Other", text="Another one altogether.")
    assert bool(windows(one) & windows(other)) == shared


def test_an_agent_file_can_be_read_whole() -> None:
    lengths = {file.name: len(file.read_text().splitlines()) for file in FOLDER.glob("*.py")}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_no_two_agent_files_share_six_lines_of_logic() -> None:
    found = {file.name: windows(file.read_text()) for file in FOLDER.glob("*.py")}
    assert len(found) > 10
    both = {(a, b): sorted(found[a] & found[b]) for a, b in combinations(sorted(found), 2)}
    assert {pair: lines for pair, lines in both.items() if lines} == {}
