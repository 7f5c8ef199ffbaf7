"""Expressions as numbers of high precision, to tell that two of them are NOT equal. Numbers never show that they are.

A difference counts only if it is the same at two precisions: round-off changes with the precision, a difference stays.
Variables are real. A point where one side is undefined or not real tells nothing about that side's domain.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

from reasonenv.verify.algebra.expression import IMAGINARY, KNOWN_FUNCTIONS, Node, Unreadable, variables, walk

_BITS = ((200, 400),)
_BITS_OF_CONSTANTS = ((200, 400), (1000, 2000))  # there is only one point, so it is looked at more closely
_MANY_BITS = ((10_000, 20_000), (60_000, 120_000))  # e^(-40000) has 57,000 zeros behind the point
_MAX_MAGNITUDE = 64  # bits of the exponent of a number: 9^(9^9) has 31; a tower above it is too large to look at
_MAX_FACTORIAL = 10_000
MAX_SPLIT = 2  # variables up to which there are points with every choice of signs
_MAGNITUDES = ((0.1, 1), (1, 4), (20, 90))  # |x - 5| is 5 - x where x is small
_RANGES = ((0.1, 1), (1, 4), (-3, 3), (-3, 3), (-3, 3), (-4, -1), (-1, -0.1), (20, 90), (-90, -20))

Point = Mapping[str, Fraction]
Signs = frozenset[str]  # the names of the coordinates that are negative


def points(names: list[str]) -> Iterator[Point]:
    """Rational points of every sign, the same ones for the same names; one empty point if there are no names."""
    if not names:
        yield {}
        return
    rng = random.Random(" ".join(names))
    if len(names) > MAX_SPLIT:
        for low, high in _RANGES:
            yield {name: _draw(rng, low, high) for name in names}
        return
    for (low, high), signs in product(_MAGNITUDES, product((1, -1), repeat=len(names))):
        yield {name: sign * _draw(rng, low, high) for name, sign in zip(names, signs, strict=True)}


def _draw(rng: random.Random, low: float, high: float) -> Fraction:
    return Fraction(rng.randint(round(low * 997), round(high * 997)), 997)


@cache
def context() -> Any:
    """Arithmetic of high precision, made once: that takes as long as an answer does. Whoever uses it sets its bits."""
    from mpmath import MPContext

    return MPContext()


def differ(a: Node, b: Node) -> tuple[bool, set[Signs]]:
    """Whether some point tells the two apart, and the signs of the points at which they were compared.

    Values count that are real, unless i stands in one of the two or there is no point where both are real. Two that
    have values at no common point differ if one of them has values at all. Raises `Unreadable` if neither has: they are
    undefined, or too large to be written with an exponent of 64 bits.
    """
    names = variables(a, b)
    pairs = list(product(points(names), _BITS if names else _BITS_OF_CONSTANTS))
    imaginary = IMAGINARY in walk(a) or IMAGINARY in walk(b)
    for real in (True, False) if names and not imaginary else (False,):
        compared = set[Signs]()
        for point, bits in pairs:
            gap = _gap(a, b, point, bits, real=real)
            if gap:
                return True, compared
            if gap is not None:
                compared.add(frozenset(name for name, value in point.items() if value < 0))
        if compared:
            return False, compared
    defined = _is_defined(a, pairs), _is_defined(b, pairs)
    if not any(defined):
        raise Unreadable("values that are undefined or too large to compare")
    return defined[0] != defined[1], set()


def _is_defined(node: Node, pairs: Sequence[tuple[Point, tuple[int, int]]]) -> bool:
    return any(_value(node, point, bits[0]) is not None for point, bits in pairs)


def _value(node: Node, point: Point, bits: int) -> Any | None:
    """The value at a point; None where there is none, or none that is small enough."""
    numbers = context()
    numbers.prec = bits
    try:
        return evaluate(node, point, numbers)
    except (ZeroDivisionError, Undefined, Unreadable):
        return None


def differ_far_behind_the_point(a: Node, b: Node) -> bool:
    """Whether two constants differ in digits that `differ` does not look at: 1 and tanh(1000) do in the 869th."""
    return any(_gap(a, b, {}, pair, real=False) for pair in _MANY_BITS)


def _gap(a: Node, b: Node, point: Point, pair: tuple[int, int], *, real: bool) -> bool | None:
    """Whether the two differ at a point; None if one of them has no value there, or none that is `real`."""
    gaps = []
    for bits in pair:
        left, right = _value(a, point, bits), _value(b, point, bits)
        if left is None or right is None:
            return None
        if real and (context().im(left) or context().im(right)):
            return None
        gaps.append(left - right)
    coarse, fine = gaps
    return bool(fine and abs(coarse - fine) * 1000 <= abs(fine))


def sign(node: Node, point: Point) -> int:
    """The sign of a real value at a point; 0 if it is zero, not real, undefined, or too close to zero to tell."""
    value = _value(node, point, 400)
    if value is None or context().im(value) or abs(value) < context().mpf(2) ** -200:
        return 0
    return 1 if value > 0 else -1


def is_nonzero(node: Node, point: Point) -> bool:
    """Whether there is a value at a point, real or not, that is not too close to zero to tell."""
    value = _value(node, point, 400)
    return value is not None and abs(value) >= context().mpf(2) ** -200


def vanishes(node: Node) -> bool:
    """Whether a constant is 0 as far as can be seen: at a higher precision nothing of its value stays."""
    if node.value is not None:
        return node.value == 0
    if variables(node) or not any(each.op in ("+", "call") for each in walk(node)):
        return False  # a product of roots and constants
    coarse, fine = _value(node, {}, 400), _value(node, {}, 800)
    if coarse is None or fine is None:
        return False
    return not fine or abs(coarse - fine) * 1000 > abs(fine)


def close(a: Node, b: Node, *, absolute: Fraction = Fraction(0), relative: Fraction = Fraction(0)) -> bool:
    """Whether two constants differ by at most `absolute`, or by `relative` times the larger of them."""
    left, right = _value(a, {}, 200), _value(b, {}, 200)
    if left is None or right is None:
        return False
    numbers = context()
    share, bound = (numbers.mpf(limit.numerator) / limit.denominator for limit in (relative, absolute))
    bound = max(bound, share * max(abs(left), abs(right)))
    return bool(abs(left - right) <= bound * (1 + numbers.mpf(2) ** -100))  # the bound itself is rounded


class Undefined(ArithmeticError):
    """No value at this point."""


def evaluate(node: Node, point: Point, context: Any) -> Any:
    """The value at the precision of `context`, real wherever it can be."""
    match node.op:
        case "num" | "var":
            value = node.value if node.op == "num" else point[str(node.atom)]
            assert value is not None
            return context.mpf(value.numerator) / value.denominator
        case "const":
            return {"pi": +context.pi, "e": +context.e, "i": context.j}[str(node.atom)]
        case "+":
            return context.fsum(evaluate(arg, point, context) for arg in node.args)
        case "*":
            return _bounded(context.fprod(evaluate(arg, point, context) for arg in node.args), context)
        case "^":
            base, exponent = (evaluate(arg, point, context) for arg in node.args)
            return _power(base, exponent, node.args[1].value, context)
        case "call":
            if node.atom not in KNOWN_FUNCTIONS:
                raise Unreadable(f"the function {node.atom} has no value")
            return _call(str(node.atom), evaluate(node.args[0], point, context), context)
    raise Unreadable(f"{node.op} has no value")


def _call(name: str, arg: Any, context: Any) -> Any:
    if name == "abs":
        return abs(arg)
    if name == "ln":
        if arg == 0:
            raise Undefined
        return context.ln(arg)
    if name == "floor":
        return _floor(arg, context)
    if name == "factorial":
        if context.im(arg) or abs(arg) > _MAX_FACTORIAL or (arg < 0 and arg == context.floor(arg)):
            raise Undefined
        return context.factorial(arg)
    if context.mag(arg) > 4 * _MAX_MAGNITUDE:
        raise Unreadable(f"{name} of a number that is too large")
    if name in ("sinh", "cosh"):
        _exponent(arg, context)
    return getattr(context, name)(arg)  # sin, cos, asin, acos, atan, sinh, cosh, tanh


def _floor(arg: Any, context: Any) -> Any:
    """The floor of a real number that is not so close to a whole one that round-off decides."""
    if context.im(arg) or context.mag(arg) > context.prec // 2:
        raise Undefined
    near = context.nint(arg)
    if arg != near and abs(arg - near) < context.mpf(2) ** -(context.prec // 3):
        raise Undefined
    return context.floor(arg)


def _power(base: Any, exponent: Any, exact: Fraction | None, context: Any) -> Any:
    if base == 0:
        if context.re(exponent) <= 0:
            raise Undefined
        return base
    if context.mag(exponent) > 4 * _MAX_MAGNITUDE:
        raise Unreadable("an exponent that is too large")
    _exponent(exponent * context.mag(base), context)
    if exact is not None and exact.denominator == 1:
        return _bounded(base ** int(exact), context)
    if exact is not None and exact.denominator % 2 and not context.im(base) and base < 0:
        return (-1) ** exact.numerator * abs(base) ** exponent  # the real root
    return _bounded(base**exponent, context)


def _exponent(value: Any, context: Any) -> None:
    if context.mag(value) > _MAX_MAGNITUDE:
        raise Unreadable("a power that is too large")


def _bounded(value: Any, context: Any) -> Any:
    magnitude = context.mag(value)
    if value and abs(magnitude) > 1 << _MAX_MAGNITUDE:
        raise Unreadable("a number that is too large")
    return value
