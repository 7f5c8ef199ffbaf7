"""The code of what a person has typed into a notebook or an interpreter: definitions that stand in no file.

A cell is no unit of code: it holds calls beside definitions, and is run again with others. So what counts is the text
of a definition itself, of the definitions that it names, and the values of the plain globals that it names; modules
that it names are files like any other's. What it reaches by other ways, such as `globals()`, is not seen.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections.abc import Iterator
from types import CodeType, ModuleType
from typing import Any

from reasonenv.errors import UserError
from reasonenv.registry import PROGRAMS


def typed_parts(thing: Any) -> Iterator[Any]:
    """The functions and classes that a thing consists of and that were typed in: itself, or its class and the bases."""
    if inspect.ismethod(thing):
        thing = thing.__func__
    parts: tuple[Any, ...] = (thing,)
    if not inspect.isfunction(thing):
        parts = (thing if isinstance(thing, type) else type(thing)).__mro__
    for part in parts:
        module = sys.modules.get(part.__module__)
        if part.__module__ in PROGRAMS and getattr(module, "__file__", None) is None:
            yield part


class TypedCode:
    """The texts of definitions by labels such as `typed/bonus.py`, closed under the names in them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.modules: list[str] = []  # that they name

    def add(self, part: Any) -> None:
        """Adds a definition and what it names. Raises `UserError` if its text cannot be known."""
        label = f"typed/{part.__qualname__.replace('.<locals>.', '.')}.py"
        if label in self.files:
            return
        text, tree = _definition(part)
        self.files[label] = b""  # it may name itself
        lines = [text]
        variables = vars(sys.modules[part.__module__])
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & variables.keys()
        for name in sorted(names - {part.__name__}):
            value = variables[name]
            if isinstance(value, ModuleType):
                self.modules.append(value.__name__)
            elif _literal(value) is not None:
                lines.append(f"{name} = {_literal(value)}")
            else:
                self._add_named(value)
        self.files[label] = ("\n".join(lines) + "\n").encode(errors="replace")

    def _add_named(self, value: Any) -> None:
        """Adds what a definition names of functions, classes and objects."""
        typed = list(typed_parts(value))
        for part in typed:
            self.add(part)
        if not typed:
            self.modules.append(str(getattr(value, "__module__", None) or type(value).__module__))


def _literal(value: Any) -> str | None:
    """A plain value as Python writes it; None for any other."""
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)  # in an order of its own in every process
    text = repr(value)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return text


def _definition(part: Any) -> tuple[str, ast.AST]:
    """The text of a function or class, with its decorators, and its syntax tree."""
    for code in _codes(part):
        source = "".join(linecache.getlines(code.co_filename))
        try:
            tree = ast.parse(source)
        except SyntaxError:  # such as of a cell with magic commands
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part.__name__:
                first = min(line.lineno for line in (node, *node.decorator_list))
                return "\n".join(source.splitlines()[first - 1 : node.end_lineno]), node
    raise UserError(
        f"the code of {part.__qualname__} cannot be known, so no run can be told from one of other code: define it in "
        "a file, or in a cell of Python alone"
    )


def _codes(part: Any) -> Iterator[CodeType]:
    """The compiled code of a function, or of the methods of a class."""
    for function in (part, *vars(part).values()):
        code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
        if isinstance(code, CodeType):
            yield code
