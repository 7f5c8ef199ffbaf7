"""The calculator: the exact value of an arithmetic expression."""

from __future__ import annotations

import re
from typing import Any

from reasonenv.core import Problem
from reasonenv.verify.algebra.expression import Unreadable
from reasonenv.verify.algebra.parse import parse

MAX_EXPRESSION = 64  # characters


def calculator(expression: str) -> str:
    """The exact value of an arithmetic expression of numbers, + - * / and brackets."""
    if len(expression) > MAX_EXPRESSION:
        raise ValueError(f"an expression has at most {MAX_EXPRESSION} characters")
    value = parse(expression).value
    if value is None:
        raise ValueError("no number")
    return str(value)


calculator.timeout = None  # type: ignore[attr-defined]  # it is short


class InlineCalculator:
    """Behind an arithmetic expression and `=` the environment writes its value, within the turn of the policy."""

    stop = "="
    timeout = None

    def budget(self, tokens: int) -> int:
        """A line whose calculation failed can be written again."""
        return 2 * tokens

    def __call__(self, text: str, problem: Problem, state: Any) -> str | None:
        return calculated(text.rpartition("\n")[2])


def calculated(line: str) -> str | None:
    """The value of the arithmetic expression that stands before the `=` at the end of `line`, exactly.

    None if there is none: an expression has at most 64 characters, digits and `+ - * / ( ) .`, and an operation. Its
    value is a whole number or a fraction; one that has none (a division by zero) is `error`.
    """
    before = line.removesuffix("=")
    rest = before.rstrip("0123456789.+-*/() ")
    expression = before[len(rest) :]
    glued = rest[-1:].isalnum() and not expression.startswith(" ")  # "2x+3" is no calculation
    if glued or len(expression) > MAX_EXPRESSION or not re.search(r"[0-9)]\s*[-+*/]\s*[-(]*[0-9.]", expression):
        return None
    if expression.lstrip()[0] in "+*/)":
        return None
    try:
        value = parse(expression).value
    except Unreadable as reason:
        return "error" if "zero" in str(reason) else None
    return None if value is None else str(value)
