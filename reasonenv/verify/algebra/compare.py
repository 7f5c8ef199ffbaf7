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
from itertools import chain, product

from reasonenv.core import Reason
from reasonenv.verify.algebra import expression as ex
from reasonenv.verify.algebra.approximate import differ, points, sign
from reasonenv.verify.algebra.expression import SCALARS, Node, Unreadable, variables
from reasonenv.verify.algebra.parse import parse
from reasonenv.verify.algebra.prove import is_zero
from reasonenv.verify.numeric import parse_number

MAX_ITEMS = 50
_UNORDERED = ("set", "union", "all")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_NOT_WORDS = re.compile(r"[\W_]")
_INTERVALS = ("tuple", "interval")


def compare(answer: str, gold: str, rules: str = "") -> Reason:
    """The verdict on an answer as found: correct, wrong, unparsable, or `error` if neither could be shown.

    Where one constant is wanted, several values are `unparsable_answer`: who names many has not answered. May take long
    on what is hard to prove (`pool.Pool` gives it a process and a clock); on all else its cost is bounded.
    """
    try:
        expected = _read(gold)
    except Unreadable:
        return Reason.UNPARSABLE_GOLD
    if expected.op == "text":
        return Reason.of(words(answer) == words(gold))
    try:
        node = _read(answer)
        if _is_constant(expected) and node.op not in SCALARS and node.op != "assign":
            return Reason.UNPARSABLE_ANSWER
        equal = same(node, expected)
    except Unreadable:
        return Reason.UNPARSABLE_ANSWER
    if equal is False and _is_constant(expected) and not _is_constant(node):
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
            return _each(_vector(one), other.args)
        if one.op == "set" and other.op == "tuple" and other.atom == "()":
            return _each(by_name(one.args), other.args)  # x = 2, y = 3 is the point (2, 3)
    if a.op in _INTERVALS and b.op in _INTERVALS:
        if len(a.args) == 2 and a.atom != b.atom:
            return False
        return _each(a.args, b.args)
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
    return parse(text) if value is None else ex.number(value)


def words(text: str) -> str:
    """Words without case, dress, and brackets: `\\text{(B)}` is `b`."""
    return " ".join(_NOT_WORDS.sub(" ", _COMMAND.sub(" ", text)).lower().split())


def _is_constant(node: Node) -> bool:
    return (node.op in SCALARS and not variables(node)) or node.op == "assign"


def _all(results: Iterable[bool | None]) -> bool | None:
    verdict: bool | None = True
    for result in results:
        if result is False:
            return False
        if result is None:
            verdict = None
    return verdict


def _is_in(node: Node, others: Sequence[Node]) -> bool | None:
    verdict: bool | None = False
    for other in others:
        equal = same(node, other)
        if equal:
            return True
        if equal is None:
            verdict = None
    return verdict


def _each(a: Sequence[Node], b: Sequence[Node]) -> bool | None:
    return len(a) == len(b) and _all(same(left, right) for left, right in zip(a, b, strict=True))


def _unordered(a: Sequence[Node], b: Sequence[Node]) -> bool | None:
    if max(len(a), len(b)) > MAX_ITEMS:
        raise Unreadable(f"more than {MAX_ITEMS} items")
    return _all(chain((_is_in(node, b) for node in a), (_is_in(node, a) for node in b)))


def _assigned(a: Node, b: Node) -> bool | None:
    """A name and its value against another, or against a value. Every side of a chain x = 2 + 3 = 5 must hold."""
    if a.op == b.op and a.atom and b.atom and a.atom != b.atom:
        return False
    sides = [node.args if node.op == "assign" else (node,) for node in (a, b)]
    return _all(same(one, other) for one, other in product(*sides))


def _vector(matrix: Node) -> Sequence[Node]:
    """The items of a matrix of one row or one column; empty if it is larger."""
    rows = [row.args for row in matrix.args]
    if len(rows) == 1:
        return rows[0]
    return [row[0] for row in rows if len(row) == 1]


def by_name(items: Sequence[Node]) -> Sequence[Node]:
    """The values of assignments to different names, in the order of these; empty if there is anything else."""
    named = {str(item.atom): item.args[0] for item in items if item.op == "assign" and len(item.args) == 1}
    if len(named) != len(items):
        return ()
    return [named[name] for name in sorted(named)]


def _equal(a: Node, b: Node) -> bool | None:
    """Two scalars that are not the same tree."""
    difference = ex.add(a, ex.negate(b))
    if difference.value is not None:
        return difference.value == 0
    unequal, negative = differ(a, b)
    if unequal:
        return False
    # Where no negative number was defined on both sides, the variables are positive: log(xy) = log x + log y.
    return is_zero(difference, positive=not negative)


def _proportional(a: Node, b: Node) -> bool | None:
    """Whether a = 0 and b = 0 (or < 0) are one up to a constant factor: a(x) b(p) = b(x) a(p) for a point p."""
    left, right = (ex.add(node.args[0], ex.negate(node.args[1])) for node in (a, b))
    names = variables(left, right)
    if variables(left) != variables(right):
        return False
    for point in points(names):
        signs = sign(left, point), sign(right, point)
        if 0 in signs:
            continue
        if a.op in ("<", "<=") and signs[0] != signs[1]:
            return False
        values = {Node("var", (), name): ex.number(value) for name, value in point.items()}
        at_left, at_right = ex.rebuild(left, values.get), ex.rebuild(right, values.get)
        return _equal(ex.multiply(left, at_right), ex.multiply(right, at_left))
    return None
