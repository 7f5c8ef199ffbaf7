"""The program that runs the cells of a session in a sandbox: reads them on its input, prints what the last one did.

A cell prints what it prints, and the value of its last expression, as in a notebook; if it fails, the end of its
traceback. All cells before it are run again, in the same namespace and unheard, so that the last one has what they
defined. This file is a program of its own and imports the standard library alone.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
import traceback

TYPE_CHECKING = False  # as in `child`: `typing` would take time
if TYPE_CHECKING:
    from typing import Any


def run(cell: str, names: dict[str, Any]) -> None:
    """Executes a cell; the value of its last expression is printed unless it is None."""
    tree = ast.parse(cell, "cell")
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    exec(compile(tree, "cell", "exec"), names)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
        if value is not None:
            print(repr(value))


def main() -> None:
    """Runs the cells of a JSON list."""
    *earlier, last = json.load(sys.stdin)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in earlier:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(BaseException):
            run(cell, names)
    try:
        run(last, names)
    except SystemExit:
        return
    except BaseException as error:
        lines = traceback.format_exception(error)
        print(lines[0], *[line for line in lines[1:-1] if 'File "cell"' in line], lines[-1], sep="", end="")


if __name__ == "__main__":
    main()
