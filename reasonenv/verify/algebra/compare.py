r"""Whether two mathematical answers, in LaTeX or plain, are the same: values, sets, intervals, points, matrices, lines.

Layers, from cheap to dear: the same tree (`expression` joins what is alike), exact rational numbers, numbers of high
precision that can only tell apart (`approximate`), identities (`prove`). Equal is only what is proven equal.

A list is the set of its solutions and `\pm` both of them. Sets and unions have no order, tuples have one. `x = 5` is 5.
An equation or inequality is what it says up to a factor (a positive one where it has a direction), so `2x = 10` is not
`x = 5`: one is solved. Variables are real, and two expressions are equal if they are wherever both are defined.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reasonenv.core import Reason
from reasonenv.verify.algebra.approximate import Point, differ, points, sign
from reasonenv.verify.algebra.expression import (
    SCALARS,
    Node,
    Unreadable,
    add,
    multiply,
    negate,
    number,
    rebuild,
    variables,
)
from reasonenv.verify.algebra.parse import parse
from reasonenv.verify.algebra.prove import is_zero
from reasonenv.verify.numeric import parse_number

MAX_ITEMS = 50
_UNORDERED = ("set", "union", "all")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_INTERVALS = ("tuple", "interval")


def compare(answer: str, gold: str) -> Reason:
    """The verdict on an answer as found: correct, wrong, unparsable, or `error` if neither could be shown.

    Where one constant is wanted, several values are `unparsable_answer`: who names many has not answered. May take long
    on what is hard to prove (`pool.Pool` gives it a process and a clock); on all else its cost is bounded.
    """
    try:
        wanted = _read(gold)
    except Unreadable:
        return Reason.UNPARSABLE_GOLD
    if wanted.op == "text":
        return Reason.of(words(answer) == words(gold))
    try:
        given = _read(answer)
        if _is_constant(wanted) and given.op not in SCALARS and given.op != "assign":
            return Reason.UNPARSABLE_ANSWER
        equal = same(given, wanted)
    except Unreadable:
        return Reason.UNPARSABLE_ANSWER
    if equal is False and _is_constant(wanted) and not _is_constant(given):
        return Reason.UNPARSABLE_ANSWER
    if equal is None:
        return Reason.ERROR
    return Reason.of(equal)


def same(a: Node, b: Node) -> bool | None:
    """Whether two trees mean the same; None if that could not be shown either way. Raises `Unreadable` if too large."""
    if a == b:
        return True
    if a.op in SCALARS and b.op in SCALARS:
        return _equal(a, b)
    if "assign" in (a.op, b.op):
        return _assigned(a, b)
    for one, other in ((a, b), (b, a)):
        if one.op in _UNORDERED and len(one.args) == 1 and other.op not in _UNORDERED:
            return same(one.args[0], other)
        if one.op == "matrix" and other.op == "tuple" and other.atom in ("()", "[]"):
            items = [row.args[0] for row in one.args] if len(one.args[0].args) == 1 else one.args[0].args
            return _each(items, other.args) if min(len(one.args), len(one.args[0].args)) == 1 else False
        if one.op == "set" and other.op == "tuple" and other.atom == "()":
            return _each(_by_name(one.args), other.args)  # x = 2, y = 3 is the point (2, 3)
    if a.op in _INTERVALS and b.op in _INTERVALS:
        return _each(a.args, b.args) if len(a.args) != 2 or a.atom == b.atom else False
    if a.op != b.op:
        return False
    if a.op in _UNORDERED:
        return _unordered(a.args, b.args)
    if a.op in ("matrix", "row"):
        return _each(a.args, b.args)
    if a.op in ("=", "!=", "<", "<="):
        return _proportional(a, b)
    return False  # infinities of different sign


def _read(text: str) -> Node:
    value = parse_number(text)
    return parse(text) if value is None else number(value)


def words(text: str) -> str:
    """Words without case, dress, and brackets: `\\text{(B)}` is `b`."""
    return " ".join("".join(char if char.isalnum() else " " for char in _COMMAND.sub(" ", text)).lower().split())


def _is_constant(node: Node) -> bool:
    return (node.op in SCALARS and not variables(node)) or node.op == "assign"


def _all(results: Iterable[bool | None]) -> bool | None:
    verdict: bool | None = True
    for result in results:
        if result is False:
            return False
        verdict = None if result is None else verdict
    return verdict


def _any(results: Iterable[bool | None]) -> bool | None:
    inverted = _all(None if result is None else not result for result in results)
    return None if inverted is None else not inverted


def _each(a: Sequence[Node], b: Sequence[Node]) -> bool | None:
    return len(a) == len(b) and _all(same(left, right) for left, right in zip(a, b, strict=True))


def _unordered(a: Sequence[Node], b: Sequence[Node]) -> bool | None:
    if max(len(a), len(b)) > MAX_ITEMS:
        raise Unreadable(f"more than {MAX_ITEMS} items")
    return _all(_any(same(one, other) for other in others) for ones, others in ((a, b), (b, a)) for one in ones)


def _assigned(a: Node, b: Node) -> bool | None:
    """A name and its value against another, or against a value. Every side of a chain x = 2 + 3 = 5 must hold."""
    if a.op == b.op and a.atom and b.atom and a.atom != b.atom:
        return False
    left, right = (node.args if node.op == "assign" else (node,) for node in (a, b))
    return _all(same(one, other) for one in left for other in right)


def _by_name(items: Sequence[Node]) -> Sequence[Node]:
    named = {str(item.atom): item.args[0] for item in items if item.op == "assign" and len(item.args) == 1}
    return [named[name] for name in sorted(named)] if len(named) == len(items) else ()


def _equal(a: Node, b: Node) -> bool | None:
    """Two scalars that are not the same tree."""
    difference = add(a, negate(b))
    if difference.value is not None:
        return difference.value == 0
    unequal, negative = differ(a, b)
    if unequal:
        return False
    # Where no negative number was defined on both sides, the variables are positive: log(xy) = log x + log y.
    return is_zero(difference, positive=not negative)


def _proportional(a: Node, b: Node) -> bool | None:
    """Whether a = 0 and b = 0 (or < 0) are one up to a constant factor: a(x) b(p) = b(x) a(p) for a point p."""
    left, right = (add(node.args[0], negate(node.args[1])) for node in (a, b))
    names = variables(left, right)
    if variables(left) != variables(right):
        return False
    for point in points(names):
        signs = sign(left, point), sign(right, point)
        if 0 in signs:
            continue
        if a.op in ("<", "<=") and signs[0] != signs[1]:
            return False
        at_left, at_right = (_substitute(side, point) for side in (left, right))
        return _equal(multiply(left, at_right), multiply(right, at_left))
    return None


def _substitute(node: Node, point: Point) -> Node:
    return rebuild(node, lambda each: number(point[str(each.atom)]) if each.op == "var" else None)
