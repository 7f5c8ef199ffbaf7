r"""What clauses make together: relations, sets from inequalities, named values, sets of solutions, both signs.

A clause that says something of one name (`x = 5`, `x < 2`, `x \ne 3`, `x \in [0,1]`) becomes `assign`: the name and
its value or the set of its values. Joined by "or" such sets are united, joined by "and" they are intersected.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

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
_TURNED = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
_SHARED = frozenset(("sin", "cos", "tan", "ln"))  # functions whose value at a variable is a name: cos x = 1/2


def relate(sides: Sequence[Node], signs: Sequence[str]) -> Node:
    """The tree of `a = b`, `a < b <= c`, `a = b ≈ c`, ..: a named value or set wherever one name stands alone."""
    if "approx" in signs:
        at = signs.index("approx")
        exact = sides[at] if at == 0 else relate(sides[: at + 1], signs[:at])
        return _approximated(exact, sides[at:])
    kinds = set(signs)
    if kinds == {"="}:
        return _equation(tuple(sides))
    if kinds == {"!="} and len(sides) == 2:
        return _solved(sides[0], sides[1], "!=") or Node("!=", tuple(sides))
    if kinds <= {">", ">="}:
        sides, signs = sides[::-1], [_TURNED[sign] for sign in reversed(signs)]
        kinds = set(signs)
    if not kinds <= {"<", "<="}:
        raise Unreadable("relations that do not go together")
    if any(each == ex.IMAGINARY for side in sides for each in walk(side)):
        raise Unreadable("an order of complex numbers")
    links = [(left, right, sign) for sign, (left, right) in zip(signs, pairwise(sides), strict=True)]
    solved = [_solved(*link) for link in links]
    names = {link.atom for link in solved if link is not None}
    if None not in solved and len(names) == 1:
        values = [link.args[0] for link in solved if link is not None]
        return Node("assign", (single("intersection", values),), names.pop())
    return single("all", [Node(sign, (left, right)) for left, right, sign in links])


def name_of(node: Node) -> str | None:
    r"""The name that a side of an equation is: `x`, `AB`, `|AB|`, `f(2)`, `\cos x`, `(x, y)`; None if it is none."""
    match node.op:
        case "var":
            return str(node.atom)
        case "*" if all(map(_is_corner, node.args)):
            return ex.written(node)
        case "call" if node.atom == "abs":
            return name_of(node.args[0]) if node.args[0].op == "*" else None
        case "call" if node.atom not in ex.KNOWN_FUNCTIONS or (node.atom in _SHARED and node.args[0].op == "var"):
            return ex.written(node)
        case "tuple" | "ratio" if all(arg.op == "var" for arg in node.args):
            return f"({','.join(str(arg.atom) for arg in node.args)})"
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
    values = tuple(side for side in sides if side.op not in SCALARS or not variables(side))
    if len(values) == len(sides) and name_of(sides[0]) is None:
        return Node("assign", sides, "")
    for side, rest in ((sides[0], sides[1:]), (sides[-1], sides[:-1])):
        name = name_of(side)
        if name is None or any(name_of(other) for other in rest):
            continue
        if all(other.op not in SCALARS or not variables(other) for other in rest):
            return Node("assign", rest, name)
        if side.op != "var" and len(rest) == 1:
            return Node("assign", rest, name)
    if len(sides) > 2:
        raise Unreadable("a chain of equations")
    return Node("=", tuple(map(scalar, sides)))


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


def _solved(left: Node, right: Node, sign_: str) -> Node | None:
    """The named set of solutions of an inequality that is linear in its one variable; None for all others."""
    for side, other, turned in ((left, right, sign_), (right, left, _TURNED.get(sign_, sign_))):
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
    end = ex.divide(ex.negate(constant), slope)
    return Node("assign", (_half_line(end, sign_ if direction > 0 else _TURNED.get(sign_, sign_)),), names[0])


def _is_end(node: Node) -> bool:
    return node.op in ("inf", "degree", "percent") or ex.constant(node)


def _half_line(end: Node, sign_: str) -> Node:
    """What is `<`, `<=`, `>`, `>=` or `!=` an end."""
    if end.op != "inf":
        end = scalar(end)
    match sign_:
        case "<" | "<=":
            return Node("interval", (ex.MINUS_INFINITY, end), "(]" if sign_ == "<=" and end.op != "inf" else "()")
        case ">" | ">=":
            return Node("interval", (end, ex.INFINITY), "[)" if sign_ == ">=" and end.op != "inf" else "()")
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
    names = {item.atom for item in items if item.op == "assign"}
    values = [item.args[0] if item.op == "assign" else item for item in items]
    if len(names) <= 1 and any(item.op == "assign" and len(item.args) > 1 for item in items):
        if len(names) == 1 and len(items) > sum(item.op == "assign" for item in items):
            raise Unreadable("a chain of equations in a list")
        return Node("list", tuple(items))
    if items[0].op == "assign" and values[0].op == "difference" and all(item.op in SCALARS for item in items[1:]):
        excluded = values[0].args[1]  # x != 2, 3
        return Node("assign", (Node("difference", (REALS, Node("set", (*excluded.args, *items[1:])))),), items[0].atom)
    if len(names) == 1 and any(value.op in SETS for value in values):
        return Node("assign", (_conditions(values, separators),), names.pop())
    kind = "and" if separators == {"and"} else ""
    if len(names) == 1:  # x = 2, 3 and x = 2 or x = 3
        return Node("assign", (Node("list", tuple(values), kind),), names.pop())
    return Node("list", tuple(items), kind)


def solutions(groups: Sequence[Sequence[Node]], separators: set[str]) -> Node:
    """Clauses in groups that commas hold together: `x = 1, y = 2; x = 3, y = 4` are two solutions."""
    several = [len({item.atom for item in group if item.op == "assign"}) == len(group) > 1 for group in groups]
    if len(groups) > 1 and all(several):
        return top_level([top_level(group, {","}) for group in groups], separators - {","})
    return top_level([item for group in groups for item in group], separators)


def _conditions(values: Sequence[Node], separators: set[str]) -> Node:
    """The set that several conditions on one name leave. A comma is read so that all of them matter."""
    sets = [Node("set", (value,)) if value.op in SCALARS else value for value in values]
    if separators == {"or"}:
        return Node("union", tuple(sets))
    both = Node("intersection", tuple(sets))
    if separators == {"and"} or any(value.op == "difference" for value in sets):
        return both
    common = real_set(both)
    if separators == {","} and common is not None:
        if not common:
            return Node("union", tuple(sets))
        if not any(real_set(each) == common for each in sets):
            return both
    raise Unreadable("conditions that are not joined by 'and' or 'or'")
