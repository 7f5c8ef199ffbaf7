"""Sets of real numbers as unions of intervals: exact end points, put in order by values of high precision.

A union, an intersection and a difference have one form here, whatever way they are written, so two sets are equal if
their intervals are. Points and intervals that touch are joined: `[1,2) ∪ {2}` is `[1,2]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cmp_to_key
from itertools import chain, pairwise
from typing import NamedTuple

from reasonenv.verify.algebra import expression as ex
from reasonenv.verify.algebra.approximate import sign
from reasonenv.verify.algebra.expression import Node, Unreadable
from reasonenv.verify.algebra.prove import is_zero

MAX_ITEMS = 50
WRITTEN_AS_SETS = frozenset({"interval", "union", "intersection", "difference"})


class Piece(NamedTuple):
    """An interval that is not empty; `left` and `right` say whether it holds its ends, which may be the same point."""

    low: Node
    high: Node
    left: bool
    right: bool


RealSet = tuple[Piece, ...]  # in order, and none touches the next
ALL: RealSet = (Piece(ex.MINUS_INFINITY, ex.INFINITY, False, False),)


def real_set(node: Node) -> RealSet | None:
    """The set that a tree means; None if it means none, or if an end is no constant.

    A pair `(1,2)` and a list of pairs are intervals here. Raises `Unreadable` if two ends cannot be put in order.
    """
    match node.op:
        case "interval" | "tuple":
            return _interval(node)
        case "set":
            if not all(map(ex.constant, node.args)):
                return None
            return _joined([Piece(item, item, True, True) for item in node.args])
        case "assign" if len(node.args) == 1:
            return real_set(node.args[0])
        case "union" | "intersection" | "difference" | "list":
            known = [part for part in map(real_set, node.args) if part is not None]
            if len(known) < len(node.args):
                return None
            if node.op == "intersection":
                return _complement(_union(list(map(_complement, known))))
            if node.op == "difference":
                return _complement(_union([_complement(known[0]), *known[1:]]))
            return _union(known)
    return None


def same_sets(a: RealSet, b: RealSet, same: Callable[[Node, Node], bool | None]) -> bool | None:
    """Whether the sets are equal, given what says so of their ends."""
    if len(a) != len(b):
        return False
    verdict: bool | None = True
    for one, other in zip(a, b, strict=True):
        if (one.left, one.right) != (other.left, other.right):
            return False
        for equal in (same(one.low, other.low), same(one.high, other.high)):
            if equal is False:
                return False
            verdict = verdict and equal
    return verdict


def compare_ends(a: Node, b: Node) -> int:
    """-1, 0 or 1 as the constant `a` is below, equal to or above `b`; infinities are ends too."""
    if a == b:
        return 0
    if a.op == "inf" or b.op == "inf":
        return -1 if a == ex.MINUS_INFINITY or b == ex.INFINITY else 1
    difference = ex.add(a, ex.negate(b))
    if difference.value is not None:
        return (difference.value > 0) - (difference.value < 0)
    result = sign(difference, {})
    if result == 0 and not is_zero(difference):
        raise Unreadable("the ends of an interval cannot be put in order")
    return result


def _interval(node: Node) -> RealSet | None:
    ends = node.args
    if len(ends) != 2 or not all(end.op == "inf" or ex.constant(end) for end in ends):
        return None
    low, high = ends
    brackets = str(node.atom)
    left, right = brackets[0] == "[" and low.op != "inf", brackets[1] == "]" and high.op != "inf"
    order = compare_ends(low, high)
    if order < 0 or (order == 0 and left and right):
        return (Piece(low, high, left, right),)
    if node.op == "interval":
        return ()
    return None  # a point


def _union(parts: Sequence[RealSet]) -> RealSet:
    return _joined(list(chain(*parts)))


def _joined(pieces: Sequence[Piece]) -> RealSet:
    """The union of pieces in any order."""
    if len(pieces) > MAX_ITEMS:
        raise Unreadable(f"more than {MAX_ITEMS} intervals")
    joined = list[Piece]()
    for piece in sorted(pieces, key=cmp_to_key(_begins_before)):
        if joined and _touches(joined[-1], piece):
            joined[-1] = _hull(joined[-1], piece)
        else:
            joined.append(piece)
    return tuple(joined)


def _begins_before(a: Piece, b: Piece) -> int:
    return compare_ends(a.low, b.low) or b.left - a.left


def _touches(first: Piece, second: Piece) -> bool:
    order = compare_ends(second.low, first.high)
    return order < 0 or (order == 0 and (first.right or second.left))


def _hull(first: Piece, second: Piece) -> Piece:
    order = compare_ends(first.high, second.high)
    if order < 0:
        return Piece(first.low, second.high, first.left, second.right)
    right = first.right or (order == 0 and second.right)
    return Piece(first.low, first.high, first.left, right)


def _complement(pieces: RealSet) -> RealSet:
    before = Piece(ex.MINUS_INFINITY, ex.MINUS_INFINITY, False, True)
    behind = Piece(ex.INFINITY, ex.INFINITY, True, False)
    gaps = list[Piece]()
    for first, second in pairwise((before, *pieces, behind)):
        low, high = first.high, second.low
        left, right = not first.right and low.op != "inf", not second.left and high.op != "inf"
        if low != high or (left and right):
            gaps.append(Piece(low, high, left, right))
    return tuple(gaps)
