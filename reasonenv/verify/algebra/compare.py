r"""Whether two mathematical answers, in LaTeX or plain, are the same: values, sets, intervals, points, matrices, lines.

Layers, from cheap to dear: the same text, the same tree (`expression` joins what is alike), exact rational numbers,
numbers of high precision that can only tell apart (`approximate`), identities (`prove`). Equal is only what is proven
equal, and equality is symmetric.

A list is the set of its solutions and `\pm` both of them. Sets and unions have no order, tuples have one. `x = 5` is 5,
`y = 2x` is 2x, but two different names are not the same. An equation or inequality is what it says up to a factor (a
positive one where it has a direction), so `2x = 10` is not `x = 5`: one is solved. Variables are real, and two
expressions are equal if they are wherever both are defined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import chain, product, repeat, starmap

from reasonenv.core import Reason
from reasonenv.verify.algebra import expression as ex
from reasonenv.verify.algebra.approximate import close, differ, differ_far_behind_the_point, is_nonzero, points, sign
from reasonenv.verify.algebra.arrays import coordinates
from reasonenv.verify.algebra.expression import SCALARS, SETS, Node, Unreadable, variables, walk
from reasonenv.verify.algebra.parse import parse, units
from reasonenv.verify.algebra.prove import MAX_POWER, is_zero
from reasonenv.verify.algebra.relations import named_value
from reasonenv.verify.algebra.sets import MAX_ITEMS, WRITTEN_AS_SETS, real_set, same_sets
from reasonenv.verify.numeric import parse_number
from reasonenv.verify.rules import Rules
from reasonenv.verify.units import unit_of

_J = Node("var", (), "j")
_HUNDRED = ex.number(100)


def compare(answer: str, gold: str, rules: str = "") -> Reason:
    """The verdict on an answer as found: correct, wrong, unparsable, or `error` if neither could be shown.

    `rules` is the JSON of `Rules`, empty for the defaults. Where one constant is wanted, several values are
    `unparsable_answer`: who names many has not answered. May take long on what is hard to prove (`pool.Pool` gives it a
    process and a clock); on all else its cost is bounded.
    """
    comparison = _comparison(rules)
    try:
        expected = read(gold)
    except Unreadable:
        return Reason.UNPARSABLE_GOLD
    try:
        node = read(answer)
        equal = comparison.same(node, expected)
        if equal and comparison.rules.units == "same":
            equal = _same_units(answer, gold)
    except Unreadable:
        if expected.op == "text":
            return Reason.WRONG
        return Reason.UNPARSABLE_ANSWER
    if equal is None:
        return Reason.ERROR
    if not equal and _is_constant(expected) and not _is_constant(node):
        return Reason.UNPARSABLE_ANSWER
    return Reason.of(equal)


def read(text: str) -> Node:
    """The tree of an answer, or the number that it is in a spelling which only `numeric` knows."""
    try:
        node = parse(text)
        if node.op != "text":
            return node
    except Unreadable:
        node = None
    value = parse_number(text)
    if value is not None:
        return ex.number(value)
    if node is None:
        raise Unreadable("neither mathematics nor a number")
    return node


@lru_cache(maxsize=64)
def _comparison(rules: str) -> Comparison:
    return Comparison(Rules.from_json(rules))


def _same_units(answer: str, gold: str) -> bool:
    """Whether the units are the same, or there are none."""
    return set(map(unit_of, units(answer))) == set(map(unit_of, units(gold)))


def _is_constant(node: Node) -> bool:
    if node.op in ("percent", "degree", "assign", "either", "numeral"):
        return True
    return ex.constant(node)


class Comparison:
    """Equality of trees under some rules. Each method says True, False, or None if neither could be shown."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.tolerance = Fraction(rules.tolerance)
        # The structures in the order in which they are taken apart: a list of ratios is a list, a named set is a name.
        self.structures: dict[str, Callable[[Node, Node], bool | None]] = {
            "either": self._either,
            "assign": self._assigned,
            "list": self._listed,
            "=": self._equation,
            "percent": self._percentage,
            "degree": self._angle,
            "ratio": self._ratio,
            "clock": self._time,
            "numeral": self._numeral,
            **dict.fromkeys(("union", "intersection", "difference", "interval"), self._reals),
            "set": self._set,
            "matrix": self._array,
            "tuple": self._array,
        }

    def same(self, a: Node, b: Node) -> bool | None:
        """Whether two trees mean the same. Raises `Unreadable` if one of them is too large to tell."""
        if a == b:
            return True
        if a.op in SCALARS and b.op in SCALARS:
            return self._equal(a, b)
        for op, compared in self.structures.items():
            if op == a.op:
                return compared(a, b)
            if op == b.op:
                return compared(b, a)
        if a.op != b.op:
            return False
        if a.op in ("!=", "<", "<="):
            return self._proportional(a, b)
        if a.op == "all":
            return self._unordered(a.args, b.args)
        if a.op in ("row", "cases", "such"):
            return self._each(a.args, b.args)
        return False  # words, infinities of different sign

    # Several nodes.

    def _each(self, a: Sequence[Node], b: Sequence[Node]) -> bool | None:
        return len(a) == len(b) and _all(map(self.same, a, b))

    def _unordered(self, a: Sequence[Node], b: Sequence[Node]) -> bool | None:
        if max(len(a), len(b)) > MAX_ITEMS:
            raise Unreadable(f"more than {MAX_ITEMS} items")
        return _all(chain(map(self._is_in, a, repeat(b)), map(self._is_in, b, repeat(a))))

    def _is_in(self, node: Node, others: Sequence[Node]) -> bool | None:
        alike = [other for other in others if (node.op == "set") == (other.op == "set")]  # the set {2} is no 2
        return _any(map(self.same, repeat(node), alike))

    # One structure against anything that comes behind it in `structures`, or against its like.

    def _either(self, one: Node, other: Node) -> bool | None:
        return _any(map(self.same, one.args, repeat(other)))

    def _assigned(self, one: Node, other: Node) -> bool | None:
        """A name and its value against another, or against a value. Every side of a chain x = 2 + 3 = 5 must hold."""
        if other.op == "=":
            value = named_value(other)
            return value is not None and _all(map(self.same, one.args, repeat(value)))
        if other.op != "assign":
            return _all(map(self.same, one.args, repeat(other)))
        if not _same_name(str(one.atom), str(other.atom)):
            return False
        return _all(starmap(self.same, product(one.args, other.args)))

    def _listed(self, one: Node, other: Node) -> bool | None:
        if other.op in ("list", "set"):
            return self._unordered(one.args, other.args)
        if other.op in WRITTEN_AS_SETS:
            return self._reals(other, one)
        if other.op == "tuple" and other.atom == "()" and "tuple" not in ex.ops(one.args):
            if one.atom == "or":
                return False
            return self._each(by_name(one.args) or one.args, other.args)
        if other.op == "matrix":
            return bool(by_name(one.args)) and self._each(by_name(one.args), _vector(other))
        if len({item.atom for item in one.args if item.op == "assign"}) > 1:
            return False
        total = _mixed_number(one)
        if total is not None and other.op in SCALARS:
            return self.same(total, other)
        return _all(map(self.same, one.args, repeat(other)))

    def _equation(self, one: Node, other: Node) -> bool | None:
        if other.op == "=":
            return self._proportional(one, other)
        value = named_value(one)
        return value is not None and self.same(value, other)

    def _percentage(self, one: Node, other: Node) -> bool | None:
        """n% against m: m is n/100, or m is n where that can be no fraction of 1."""
        number = one.args[0]
        if other.op == "percent":
            return self.same(number, other.args[0])
        if other.op not in SCALARS:
            return False
        if self.rules.percent == "number":
            return self.same(number, other)
        share = self.same(ex.divide(number, _HUNDRED), other)
        if share or self.rules.percent == "fraction" or other.value is None or abs(other.value) <= 1:
            return share
        return self.same(number, other)

    def _angle(self, one: Node, other: Node) -> bool | None:
        """Degrees against degrees or against a number, which may be of degrees or of radians."""
        degrees = one.args[0]
        if other.op == "degree":
            return self.same(degrees, other.args[0])
        if other.op not in SCALARS:
            return False
        equal = self.same(degrees, other)
        in_radians = any(each == ex.PI or each.atom in ("asin", "acos", "atan") for each in walk(other))
        if equal is False and in_radians:
            return self.same(ex.multiply(degrees, ex.PI, ex.number(Fraction(1, 180))), other)
        return equal

    def _ratio(self, one: Node, other: Node) -> bool | None:
        if other.op in ("ratio", "clock"):
            left = map(ex.multiply, one.args, repeat(other.args[0]))
            right = map(ex.multiply, other.args, repeat(one.args[0]))
            return self._each(tuple(left), tuple(right))
        if other.op not in SCALARS or len(one.args) != 2:
            return False
        return self.same(one.args[0], ex.multiply(other, one.args[1]))

    def _time(self, one: Node, other: Node) -> bool | None:
        """Clock times, where one may say "p.m." and the other not."""
        if other.op != "clock" or (one.atom and other.atom and one.atom != other.atom):
            return False
        return one.args == other.args

    def _numeral(self, one: Node, other: Node) -> bool | None:
        """A numeral of base ten against a number; in other bases the digits without a base are another number."""
        digits, _, base = str(one.atom).partition("_")
        return base == "10" and other.value is not None and Fraction(digits) == other.value

    def _reals(self, one: Node, other: Node) -> bool | None:
        left, right = real_set(one), real_set(other)
        if left is not None and right is not None:
            return same_sets(left, right, self.same)
        if one.op in ("interval", "tuple") and other.op in ("interval", "tuple"):
            return one.atom == other.atom and self._each(one.args, other.args)
        if one.op == other.op == "difference":
            return self._each(one.args, other.args)
        return one.op == other.op and self._unordered(one.args, other.args)

    def _set(self, one: Node, other: Node) -> bool | None:
        if other.op == "set":
            return self._unordered(one.args, other.args)
        if other.op == "tuple" and other.atom == "()" and by_name(one.args):
            return self._each(by_name(one.args), other.args)
        if other.op == "tuple" and other.atom == "[]":  # [1,1] is {1}
            return self._reals(other, one)
        return bool(one.args) and other.op not in SETS and _all(map(self.same, one.args, repeat(other)))

    def _array(self, one: Node, other: Node) -> bool | None:
        """Matrices, points, and vectors in any way of writing them."""
        if one.op == other.op == "matrix":
            return self._each(one.args, other.args)
        if one.op == other.op:
            return (len(one.args) != 2 or one.atom == other.atom) and self._each(one.args, other.args)
        items = _vector(one)
        if other.op == "tuple":
            return other.atom in ("()", "[]") and self._each(items, other.args)
        parts = coordinates(other, len(items))
        return parts is not None and self._each(items, parts)

    # Values and relations.

    def _equal(self, a: Node, b: Node) -> bool | None:
        """Two scalars that are not the same tree."""
        a, b = _with_one_imaginary_unit(ex.opaque(a), ex.opaque(b))
        difference = ex.add(a, ex.negate(b))
        if difference.value is not None and (difference.value == 0 or not self.tolerance):
            return difference.value == 0
        names = variables(a, b)
        if self.tolerance and not names and close(a, b, relative=self.tolerance):
            return True
        unequal, signs = differ(a, b)
        if unequal:
            return False
        # Only signs with which both sides are defined count: log(xy) = log x + log y where x and y are positive.
        equal = is_zero(difference, signs if variables(difference) == names else None)
        if equal is None and (_is_extreme(difference) or differ(difference, ex.ZERO)[0]):
            return False
        if equal is None and not names and differ_far_behind_the_point(a, b):
            return False
        return equal

    def _proportional(self, a: Node, b: Node) -> bool | None:
        """Whether a = 0 and b = 0 (or < 0) are one up to a constant factor: a(x) b(p) = b(x) a(p) for a point p."""
        left, right = _difference(a), _difference(b)
        names = variables(left, right)
        if variables(left) != variables(right) or not names:
            return False
        for point in points(names):
            if not is_nonzero(left, point) or not is_nonzero(right, point):
                continue
            if a.op in ("<", "<=") and sign(left, point) != sign(right, point):
                return False
            values = {Node("var", (), name): ex.number(value) for name, value in point.items()}
            at_left, at_right = ex.rebuild(left, values.get), ex.rebuild(right, values.get)
            return self._equal(ex.multiply(left, at_right), ex.multiply(right, at_left))
        raise Unreadable("a relation without values to compare")


def by_name(items: Sequence[Node]) -> Sequence[Node]:
    """The values of assignments to different names, in the order of these; empty if there is anything else."""
    named = {str(item.atom): item.args[0] for item in items if item.op == "assign" and len(item.args) == 1}
    if len(named) != len(items):
        return ()
    return [named[name] for name in sorted(named)]


def _all(results: Iterable[bool | None]) -> bool | None:
    verdict: bool | None = True
    for result in results:
        if result is False:
            return False
        if result is None:
            verdict = None
    return verdict


def _any(results: Iterable[bool | None]) -> bool | None:
    verdict: bool | None = False
    for result in results:
        if result:
            return True
        if result is None:
            verdict = None
    return verdict


def _same_name(a: str, b: str) -> bool:
    """Whether two names may be one: the same, perhaps with an index (x_1 = 5 is x = 5), or a name and none."""
    if not a or not b or a == b:
        return True
    return "_" in a + b and a.partition("_")[0] == b.partition("_")[0] and not ("_" in a and "_" in b)


def _difference(relation: Node) -> Node:
    left, right = relation.args
    difference = ex.opaque(ex.add(left, ex.negate(right)))
    if relation.op == "=":  # xy = 6 and y = 6/x
        return ex.without_denominators(difference)
    return difference


def _vector(array: Node) -> Sequence[Node]:
    """The items of a point or of a matrix of one row or one column; empty if it is larger."""
    if array.op == "tuple":
        return array.args
    rows = [row.args for row in array.args]
    if len(rows) == 1:
        return rows[0]
    return [row[0] for row in rows if len(row) == 1]


def _mixed_number(node: Node) -> Node | None:
    """`3 and 1/2` as a number; None if the list is no whole number and a proper fraction."""
    if node.atom != "and" or len(node.args) != 2:
        return None
    whole, part = (item.value for item in node.args)
    if whole is None or part is None or whole.denominator != 1 or whole < 1 or not 0 < part < 1:
        return None
    return ex.number(whole + part)


def _with_one_imaginary_unit(a: Node, b: Node) -> tuple[Node, Node]:
    """The sides, j as i in the one that has no i, if the other has."""
    in_a, in_b = set(walk(a)), set(walk(b))
    if ex.IMAGINARY in in_b - in_a and _J in in_a - in_b:
        return ex.rebuild(a, {_J: ex.IMAGINARY}.get), b
    if ex.IMAGINARY in in_a - in_b and _J in in_b - in_a:
        return a, ex.rebuild(b, {_J: ex.IMAGINARY}.get)
    return a, b


def _is_extreme(node: Node) -> bool:
    """Whether exponents or arguments beyond all measure stand in a difference that looks like 0.

    Nobody can tell whether it is, which is not the grader's failure but that of who writes them.
    """
    operands = [each.args[-1].value for each in walk(node) if each.op in ("^", "call")]
    return any(value is not None and not Fraction(1, MAX_POWER) <= abs(value) <= MAX_POWER for value in operands)
