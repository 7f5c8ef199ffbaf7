r"""What clauses make together: relations, sets from inequalities, named values, sets of solutions, both signs.

A clause that says something of one name (`x = 5`, `x < 2`, `x \ne 3`, `x \in [0,1]`) becomes `assign`: the name and
its value or the set of its values. Joined by "or" such sets are united, joined by "and" they are intersected.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import chain, pairwise

from reasonenv.verify.algebra import expression as ex
from reasonenv.verify.algebra.approximate import close, sign
from reasonenv.verify.algebra.expression import (
    MINUS_ONE,
    ONE,
    REALS,
    SCALARS,
    SETS,
    Node,
    Unreadable,
    rebuild,
    scalar,
    single,
    variables,
    walk,
)
from reasonenv.verify.algebra.sets import real_set

_MAX_PLACES = 50
PLUS_MINUS = Node("pm")
_TURNED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "!=": "!="}
_SHARED = frozenset(("sin", "cos", "tan", "ln"))  # functions whose value at a variable is a name: cos x = 1/2


def relate(sides: Sequence[Node], signs: Sequence[str]) -> Node:
    """The tree of `a = b`, `a < b <= c`, `a = b ≈ c`, ..: a named value or set wherever one name stands alone."""
    if not signs:
        return sides[0]
    if "approx" in signs:
        at = signs.index("approx")
        return _approximated(relate(sides[: at + 1], signs[:at]), sides[at:])
    kinds = set(signs)
    if kinds == {"="}:
        return _equation(tuple(sides))
    if kinds == {"!="} and len(sides) == 2:
        inequation = Node("!=", tuple(sides))
        return _solved(inequation) or inequation
    if kinds <= {">", ">="}:
        sides, signs = sides[::-1], [_TURNED[sign] for sign in reversed(signs)]
        kinds = set(signs)
    if not kinds <= {"<", "<="}:
        raise Unreadable("relations that do not go together")
    if ex.IMAGINARY in chain(*map(walk, sides)):
        raise Unreadable("an order of complex numbers")
    links = [Node(sign, pair) for sign, pair in zip(signs, pairwise(sides), strict=True)]
    solved = [link for link in map(_solved, links) if link is not None]
    names = _names(solved)
    if len(solved) == len(links) and len(names) == 1:
        return Node("assign", (single("intersection", list(map(_value, solved))),), names.pop())
    return single("all", links)


def name_of(node: Node) -> str | None:
    r"""The name that a side of an equation is: `x`, `AB`, `|AB|`, `f(2)`, `\cos x`, `(x, y)`; None if it is none."""
    match node.op:
        case "var":
            return str(node.atom)
        case "*" if all(map(_is_corner, node.args)):
            return ex.written(node)
        case "call" if node.atom == "abs" and node.args[0].op == "*":
            return name_of(node.args[0])
        case "call" if node.atom not in ex.KNOWN_FUNCTIONS or (node.atom in _SHARED and node.args[0].op == "var"):
            return ex.written(node)
        case "tuple" | "ratio" if ex.ops(node.args) == {"var"}:
            return ex.written(Node("tuple", node.args))
    return None


def _is_corner(node: Node) -> bool:
    """A capital letter, or one over which is divided: AB is a segment, and AB/CD a ratio of two."""
    if node.op == "^" and node.args[1] == MINUS_ONE:
        node = node.args[0]
    return node.op == "var" and len(str(node.atom)) == 1 and str(node.atom).isupper()


def named_value(equation: Node) -> Node | None:
    """The right side of `y = 2x + 3`, or the left one of `2x + 3 = y`; None if no side is a name for the other."""
    left, right = equation.args
    for name, value in ((left, right), (right, left)):
        if name.op == "var" and str(name.atom) not in variables(value):
            return value
    return None


def _equation(sides: tuple[Node, ...]) -> Node:
    """`x = 5` and its chains as a named value; `y = 2x + 3` stays an equation, as `2x - y + 3 = 0` is one."""
    if all(map(_is_value, sides)) and name_of(sides[0]) is None:
        return Node("assign", sides, "")
    for side, rest in ((sides[0], sides[1:]), (sides[-1], sides[:-1])):
        name = name_of(side)
        if name is None or any(map(name_of, rest)):
            continue
        if side.op == "tuple" and len(rest) == 1 and rest[0].op == "tuple":
            return Node("assign", (_in_order(side, rest[0]),), "")
        if all(map(_is_value, rest)) or (side.op != "var" and len(rest) == 1):
            return Node("assign", rest, name)
    if len(sides) > 2:
        raise Unreadable("a chain of equations")
    return Node("=", tuple(map(scalar, sides)))


def _in_order(names: Node, point: Node) -> Node:
    """The coordinates in the order x, y, z where these are their names: (y, x) = (1, 2) is the point (2, 1)."""
    letters = [str(name.atom) for name in names.args]
    if len(letters) != len(point.args) or not set("xyz").issuperset(letters):
        return point
    pairs = sorted(zip(letters, point.args, strict=True), key=lambda pair: pair[0])
    return Node("tuple", tuple(value for _, value in pairs), point.atom)


def _is_value(side: Node) -> bool:
    return side.op not in SCALARS or not variables(side)


def _approximated(exact: Node, sides: Sequence[Node]) -> Node:
    """`a ≈ b`: either of the two, if b is a rounded; `x ≈ b` is x = b."""
    if name_of(sides[0]) is not None and len(sides) == 2:
        return relate(sides, ["="])
    if not all(side.op == "percent" or ex.constant(side) for side in sides):
        raise Unreadable("an approximation of something that is no number")
    value, *rounded = map(scalar, sides)
    if not all(close(value, side, absolute=_half_unit(side)) for side in rounded):
        raise Unreadable("an approximation that is not the rounded value")
    return Node("either", (exact, *sides[1:]))


def _half_unit(node: Node) -> Fraction:
    """Half a unit of the last place of a decimal."""
    value = node.value
    for places in range(_MAX_PLACES):
        if value is not None and (value * 10**places).denominator == 1:
            return Fraction(1, 2 * 10**places)
    raise Unreadable("an approximation by something that is no decimal")


def _solved(relation: Node) -> Node | None:
    """The named set of solutions of an inequality that is linear in its one variable; None for all others."""
    left, right = relation.args
    for side, other, turned in ((left, right, relation.op), (right, left, _TURNED[relation.op])):
        if side.op == "call" and side.atom == "abs" and ex.constant(other):
            return _solved_around(side.args[0], other, turned)
        name = name_of(side)
        if name is not None and side.op in SCALARS and _is_end(other):
            return Node("assign", (_half_line(other, turned),), name)
    if left.op not in SCALARS or right.op not in SCALARS:
        return None
    names = variables(left, right)
    if len(names) != 1:
        return None
    difference, variable = ex.add(left, ex.negate(right)), Node("var", (), names[0])
    try:
        constant = rebuild(difference, {variable: ex.ZERO}.get)
        slope = ex.add(rebuild(difference, {variable: ONE}.get), ex.negate(constant))
    except Unreadable:  # a division by 0 at one of the two points
        return None
    if ex.add(ex.multiply(slope, variable), constant) != difference:
        return None
    direction = sign(slope, {})
    if direction == 0:
        return None
    turned = relation.op if direction > 0 else _TURNED[relation.op]
    return Node("assign", (_half_line(ex.divide(ex.negate(constant), slope), turned),), names[0])


def _solved_around(inner: Node, end: Node, relation: str) -> Node | None:
    """|L| < c as -c < L < c, and |L| > c as L < -c or L > c."""
    above, below = _solved(Node(relation, (inner, end))), _solved(Node(_TURNED[relation], (inner, ex.negate(end))))
    if above is None or below is None or relation == "!=":
        return None
    both = "intersection" if relation in ("<", "<=") else "union"
    return Node("assign", (Node(both, (*above.args, *below.args)),), above.atom)


def _is_end(node: Node) -> bool:
    return node.op in ("inf", "degree", "percent") or ex.constant(node)


def _half_line(end: Node, relation: str) -> Node:
    """What is `<`, `<=`, `>`, `>=` or `!=` an end."""
    if end.op == "inf":
        relation = relation.rstrip("=")  # no number is infinite
    else:
        end = scalar(end)
    match relation:
        case "<" | "<=":
            return Node("interval", (ex.MINUS_INFINITY, end), {"<": "()", "<=": "(]"}[relation])
        case ">" | ">=":
            return Node("interval", (end, ex.INFINITY), {">": "()", ">=": "[)"}[relation])
    return Node("difference", (REALS, Node("set", (end,))))


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
    """The whole answer: its one clause, or the list, union or intersection that several clauses or both signs mean."""
    items = spread(clauses)
    if len(items) == 1:
        return items[0]
    names, values = _names(items), list(map(_value, items))
    if len(names) == 1 and _is_chain(items):
        raise Unreadable("a chain of equations in a list")
    if len(names) != 1:
        return Node("list", tuple(items), _kind(separators))
    if values[0].op == "difference" and ex.ops(items[1:]) <= SCALARS:  # x != 2, 3
        excluded = Node("set", (*values[0].args[1].args, *items[1:]))
        return Node("assign", (Node("difference", (REALS, excluded)),), names.pop())
    if ex.ops(values) & SETS:
        return Node("assign", (_conditions(values, separators),), names.pop())
    return Node("assign", (Node("list", tuple(values), _kind(separators)),), names.pop())  # x = 2 or x = 3


def solutions(groups: Sequence[Sequence[Node]], separators: set[str]) -> Node:
    """Clauses in groups that commas hold together: `x = 1, y = 2; x = 3, y = 4` are two solutions."""
    if len(groups) > 1 and all(map(_is_solution, groups)):
        return top_level([top_level(group, {","}) for group in groups], separators - {","})
    return top_level(list(chain(*groups)), separators)


def _is_solution(group: Sequence[Node]) -> bool:
    """Whether every clause is the value of another name, and there are several."""
    return len(group) == len(_names(group)) > 1


def _names(items: Sequence[Node]) -> set[str]:
    """The names without their indices: x_1 and x_2 are two values of x."""
    return {str(item.atom).partition("_")[0] for item in items if item.op == "assign"}


def _value(item: Node) -> Node:
    """What an item says of its name, or the item itself if it has none."""
    if item.op == "assign":
        return item.args[0]
    return item


def _is_chain(items: Sequence[Node]) -> bool:
    return any(item.op == "assign" and len(item.args) > 1 for item in items)


def _kind(separators: set[str]) -> str:
    """What alone joins a list: `3 and 1/2` may be one number, `x = 3 or y = 4` is no point."""
    if separators in ({"and"}, {"or"}):
        return min(separators)
    return ""


def _as_set(value: Node) -> Node:
    if value.op in SCALARS:
        return Node("set", (value,))
    return value


def _conditions(values: Sequence[Node], separators: set[str]) -> Node:
    """The set that several conditions on one name leave. A comma is read so that all of them matter."""
    sets = list(map(_as_set, values))
    if separators == {"or"}:
        return Node("union", tuple(sets))
    both = Node("intersection", tuple(sets))
    if separators == {"and"} or "difference" in ex.ops(sets):
        return both
    common = real_set(both)
    if separators == {","} and common is not None:
        if not common:
            return Node("union", tuple(sets))
        if common not in map(real_set, sets):
            return both
    raise Unreadable("conditions that are not joined by 'and' or 'or'")
