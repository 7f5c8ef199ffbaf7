"""What clauses make together: relations, intervals from inequalities, assignments, sets of solutions, both signs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from reasonenv.verify.algebra.expression import MINUS_ONE, ONE, Node, Unreadable, rebuild, single, variables, walk

PLUS_MINUS = Node("pm")
_INFINITY, _MINUS_INFINITY = Node("inf", (ONE,)), Node("inf", (MINUS_ONE,))


def relate(sides: Sequence[Node], signs: Sequence[str]) -> Node:
    """The tree of `a = b`, `a < b <= c`, ..: an assignment or an interval where one variable stands alone."""
    kinds = set(signs)
    if kinds == {"="}:
        return _equation(tuple(sides))
    if kinds == {"!="} and len(sides) == 2:
        return Node("!=", tuple(sides))
    if kinds <= {">", ">="}:
        sides, signs = sides[::-1], [{">": "<", ">=": "<="}[sign] for sign in reversed(signs)]
        kinds = set(signs)
    if not kinds <= {"<", "<="}:
        raise Unreadable("relations that do not go together")
    each = [Node(sign, pair) for sign, pair in zip(signs, pairwise(sides), strict=True)]
    return _interval(sides, signs) or single("all", each)


def _equation(sides: tuple[Node, ...]) -> Node:
    constant = [not variables(side) for side in sides]
    if all(constant):
        return Node("assign", sides, "")
    if all(constant[1:]) and sides[0].op == "var":
        return Node("assign", sides[1:], str(sides[0].atom))
    if len(sides) > 2:
        raise Unreadable("a chain of equations")
    return Node("=", sides)


def _interval(sides: Sequence[Node], signs: Sequence[str]) -> Node | None:
    """`x < 2` as (-inf, 2); `1 <= x < 2` as [1, 2); None where no single variable is bounded by constants."""
    names = [side.op == "var" for side in sides]
    if sum(names) != 1 or any(variables(side) for side, name in zip(sides, names, strict=True) if not name):
        return None
    at = names.index(True)
    if len(sides) > 3 or (len(sides) == 3 and at != 1):
        return None
    low, opening, high, closing = _MINUS_INFINITY, "(", _INFINITY, ")"
    if at > 0:
        low, opening = sides[0], {"<": "(", "<=": "["}[signs[0]]
    if at < len(sides) - 1:
        high, closing = sides[-1], {"<": ")", "<=": "]"}[signs[-1]]
    return Node("interval", (low, high), opening + closing)


def spread(items: Sequence[Node]) -> list[Node]:
    """The items, each that holds a plus-minus sign once with plus and once with minus everywhere."""
    expanded = []
    for item in items:
        if PLUS_MINUS in walk(item):
            expanded += [rebuild(item, {PLUS_MINUS: sign}.get) for sign in (ONE, MINUS_ONE)]
        else:
            expanded.append(item)
    return expanded


def top_level(clauses: Sequence[Node], separators: set[str]) -> Node:
    """The whole answer: its one clause, or the set of solutions that a list of clauses or both signs mean."""
    items = spread(clauses)
    if len(items) == 1:
        return items[0]
    if any(item.op == "interval" for item in items):
        if separators != {"or"} or any(item.op != "interval" for item in items):
            raise Unreadable("inequalities that are not joined by 'or'")
        return Node("union", tuple(items))
    names = {item.atom for item in items if item.op == "assign"}
    if len(names) == 1:  # x = 2, 3 and x = 2 or x = 3
        if any(item.op == "assign" and len(item.args) > 1 for item in items):
            raise Unreadable("a chain of equations in a list")
        items = [item.args[0] if item.op == "assign" else item for item in items]
    return Node("set", tuple(items))
