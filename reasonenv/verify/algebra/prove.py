"""Exact zero tests with SymPy, on trees that the guards let through. SymPy never sees text.

Each test rewrites the difference by identities and looks for a literal 0. None of them decides by numbers, so what is
proven holds. They may take long: call from a process that can be stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from itertools import combinations
from math import comb, lcm
from typing import Any

from reasonenv.verify.algebra.approximate import MAX_SPLIT, Signs, close, sign
from reasonenv.verify.algebra.expression import (
    PI,
    ZERO,
    Node,
    Unreadable,
    coefficient,
    negate,
    rebuild,
    variables,
    walk,
)

_MAX_TURNS = 60
MAX_TERMS = 20_000  # of a difference when all its products are multiplied out
MAX_POWER = 1_000  # of anything that is not a number


def is_zero(node: Node, signs: Collection[Signs] | None = None) -> bool | None:
    """Whether the tree is 0 for all variables whose signs are among these, or for all; None if no test could tell.

    An algebraic number is 0 exactly if its minimal polynomial is x. For all else only "yes" can be shown: for all real
    variables, or for each choice of their signs. A formula of many variables is shown for positive ones, as quantities
    are positive where it has roots of them.
    """
    names = variables(node)
    if signs is None:
        signs = [frozenset(choice) for count in range(MAX_SPLIT + 1) for choice in combinations(names, count)]
    result = _decide(node, bool(names) and set(signs) == {frozenset()})
    if result is not None:
        return result
    if not names:
        return _is_zero_angle(node) or None
    if len(names) > MAX_SPLIT:
        return _decide(node, True)
    shown = [_decide(_turned(node, negative), True) for negative in signs]
    return True if shown and all(shown) else None


def _is_zero_angle(node: Node) -> bool:
    """Whether a sum of multiples of pi and of arctangents of rational numbers is 0: arctan 2 + arctan 1/2 - pi/2.

    The product of (1 + ia)^n has the argument of the sum of n arctan a, so where it is real, that is a multiple of pi.
    Then the whole is one of pi / `scale`, and 0 if it is closer to 0 than the next of them.
    """
    parts = [coefficient(term) for term in node.args] if node.op == "+" else [coefficient(node)]
    scale = lcm(*(count.denominator for count, _ in parts))
    real, imaginary = Fraction(1), Fraction(0)
    for count, rest in parts:
        slope = rest.args[0].value if rest.op == "call" and rest.atom == "atan" else None
        times = int(count * scale)
        if rest == PI:
            continue
        if slope is None or abs(times) > _MAX_TURNS:
            return False
        if times < 0:
            slope = -slope
        for _ in range(abs(times)):
            real, imaginary = real - imaginary * slope, imaginary + real * slope
    return imaginary == 0 and close(node, ZERO, absolute=Fraction(1, 10 * scale))


def _turned(node: Node, negative: Signs) -> Node:
    """The tree with some variables negated."""
    variables_ = [Node("var", (), name) for name in negative]
    return rebuild(node, {variable: negate(variable) for variable in variables_}.get)


def _decide(node: Node, positive: bool) -> bool | None:
    import sympy

    if _terms(node) > MAX_TERMS:
        return None
    expression = to_sympy(node, positive=positive)
    for cheap in _cheap_forms(expression):
        if cheap == 0:
            return True
    if expression.is_number and expression.is_algebraic:
        x = sympy.Dummy("x")
        return bool(sympy.minimal_polynomial(expression, x) == x)
    if any(form == 0 for form in _dear_forms(expression)):
        return True
    return None


def to_sympy(node: Node, *, positive: bool) -> Any:
    """The SymPy expression of a scalar tree. Raises `Unreadable` for powers that SymPy would try to write out."""
    import sympy

    functions: dict[str, Callable[[Any], Any]] = {
        "ln": sympy.log,
        "abs": sympy.Abs,
        **{name: getattr(sympy, name) for name in ("floor", "factorial")},
        **{name: getattr(sympy, name) for name in ("sin", "cos", "asin", "acos", "atan", "sinh", "cosh", "tanh")},
    }
    constants = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I}

    def build(node: Node) -> Any:
        match node.op:
            case "num":
                value = node.value
                assert value is not None
                return sympy.Rational(value.numerator, value.denominator)
            case "var":
                return sympy.Symbol(str(node.atom), real=True, positive=positive or None)
            case "const":
                return constants[str(node.atom)]
            case "+":
                return sympy.Add(*map(build, node.args))
            case "*":
                return sympy.Mul(*map(build, node.args))
            case "^":
                base, exponent = node.args
                if _is_large(exponent) or (base.value is not None and any(map(_is_large, walk(exponent)))):
                    raise Unreadable(f"a power above {MAX_POWER}")
                power = exponent.value or Fraction(1)
                odd_root = power.denominator % 2 == 1 and power.denominator > 1
                if odd_root and not variables(base) and sign(base, {}) < 0:  # a root is the real one, as everywhere
                    return (-1) ** power.numerator * sympy.Pow(build(negate(base)), build(exponent))
                return sympy.Pow(build(base), build(exponent))
            case "call":
                return functions[str(node.atom)](build(node.args[0]))
        raise Unreadable(f"{node.op} is no value")

    return build(node)


def _is_large(node: Node) -> bool:
    return node.value is not None and abs(node.value) > MAX_POWER


def _cheap_forms(expression: Any) -> Iterator[Any]:
    import sympy

    yield expression
    expanded = sympy.expand(expression)
    yield expanded
    yield sympy.cancel(sympy.together(expanded))


def _dear_forms(expression: Any) -> Iterator[Any]:
    import sympy

    yield sympy.expand(sympy.expand_log(expression))
    yield sympy.simplify(expression)
    yield sympy.cancel(sympy.together(sympy.expand(sympy.expand_trig(expression).rewrite(sympy.exp))))
    yield sympy.simplify(sympy.radsimp(expression))


def _terms(node: Node) -> int:
    """How many terms the tree has when it is multiplied out, counted up to a little above the limit."""
    counts = [_terms(arg) for arg in node.args]
    match node.op:
        case "+":
            return min(sum(counts), MAX_TERMS + 1)
        case "*":
            product = 1
            for count in counts:
                product = min(product * count, MAX_TERMS + 1)
            return product
        case "^":
            exponent = node.args[1].value
            if exponent is None or exponent.denominator != 1 or counts[0] == 1:
                return 1
            power = min(abs(int(exponent)), MAX_TERMS)
            return min(comb(power + counts[0] - 1, min(power, counts[0] - 1)), MAX_TERMS + 1)
    return 1
