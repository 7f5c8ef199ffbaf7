r"""The normal form of a mathematical answer, as one line of text: answers that `compare` calls equal should share it.

A rational number is itself (`3/2`). Every other expression is told by its values: what it is worth at fixed points, to
`DIGITS` digits, names it whatever way it is written (`\sqrt{12}` and `2\sqrt{3}`; `\sin^2 x + \cos^2 x` and `1`).
An equation is told by the ratios of left - right at those points, so a common factor does not matter. Where values
tell nothing (undefined everywhere, too large), the tree itself is written out.

A logarithm that is not real is taken of the absolute value, so `\log(x^2)` is `2\log x`, which says the same wherever
it is defined. A capital letter alone is the name of a choice: `B` is `\text{(B)}`.

Differences from `compare`, whose equality is not transitive, so that no form can be right on all of these:

* `x = \sqrt{2}` and `y = \sqrt{2}` both have the form of `\sqrt{2}`, `\ln(-x)` and `\ln x` that of `\ln|x|`.
* `x = 1, y = 2` and a column are the point `(1,2)`. A row is not, nor are the set `\{1,2\}` and the interval `[1,2]`,
  though a grader takes the first two for the set, and column and row for what `[1,2]` writes.
* `y = 2x` has the form of an equation, as `2x - y = 0` has, and not that of `2x`. A percentage and degrees have the
  form of their number, `a \approx b` that of a, `i + 2j` that of a sum, `3 and 1/2` that of a list.
* `\sqrt{xy}` is `\sqrt{x}\sqrt{y}`: no point has two negative coordinates.
* What agrees to `DIGITS` digits at every point is one.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from reasonenv.verify.algebra.approximate import Undefined, context, evaluate
from reasonenv.verify.algebra.arrays import coordinates
from reasonenv.verify.algebra.compare import by_name
from reasonenv.verify.algebra.expression import (
    SCALARS,
    WRITABLE,
    Node,
    Unreadable,
    add,
    call,
    divide,
    negate,
    opaque,
    ops,
    rebuild,
    variables,
    walk,
    written,
)
from reasonenv.verify.algebra.parse import parse
from reasonenv.verify.algebra.sets import MAX_ITEMS, real_set
from reasonenv.verify.numeric import parse_number
from reasonenv.verify.words import is_words, normalize

DIGITS = 60  # significant ones that make two values one
_COARSE, _FINE = 400, 800  # bits of the two evaluations, which must agree
_LARGEST = 200  # bits before the point: above, what is added to a value is lost in its rounding
_SMALLEST = -100_000  # bits: below, it takes too long to write
_ZERO = -300  # bits: a value that the finer evaluation brings below this is 0 and a rounding error
_RATIONAL = 10**9  # denominators up to here are recognised in a value; no other number comes as close as 2**-300
_RELATIONS = ("=", "!=", "<", "<=")

Values = list[Any | None]  # at each point; None where there is none or none that is real


def normal_form(text: str) -> str:
    """The form of an answer; empty if it cannot be read. May take long (`pool.Pool` gives it a process and a clock)."""
    value = parse_number(text)
    if value is not None:
        return str(value)
    try:
        return _form(parse(text))
    except Unreadable:
        if is_words(text):
            return f"text:{normalize(text)}"
        return ""


def _form(node: Node) -> str:
    match node.op:
        case "text":
            return f"text:{str(node.atom).lower()}"
        case "var" if str(node.atom).isupper():
            return f"text:{str(node.atom).lower()}"
        case "assign":
            return _joined("assign", {_form(side) for side in node.args})  # x = 2 + 3 = 5
        case "either" | "percent" | "degree":
            return _form(node.args[0])
        case "numeral":
            return str(node.atom).removesuffix("_10")
        case "clock":
            return f"{_list(node.args)}{node.atom}:clock"
        case "ratio":
            return _ratio(node)
        case "list" | "set" | "all":
            return _unordered(node)
        case "interval" | "union" | "intersection" | "difference":
            return _real_set(node)
        case "tuple":
            brackets = str(node.atom) if len(node.args) == 2 else "()"
            return f"{brackets[0]}{_list(node.args)}{brackets[1]}"
        case "matrix" if len(node.args) > 1 and len(node.args[0].args) == 1:
            return f"({_list([row.args[0] for row in node.args])})"
    if node.op in SCALARS:
        vector = _vector(node)
        return _form(vector) if vector else _scalar(opaque(node))
    if node.op in _RELATIONS:
        return _relation(opaque(node))
    atom = node.atom or ""
    return f"{node.op}{atom}({_list(node.args)})"  # a matrix, its rows, infinity, a set-builder


def _vector(node: Node) -> Node | None:
    """The point that a sum of unit vectors is: `2\\hat{i}-3\\hat{j}` has two coordinates."""
    names = variables(node)
    if not any(name.startswith("hat ") for name in names):
        return None
    parts = coordinates(node, 3 if "hat k" in names else 2)
    return None if parts is None else Node("tuple", parts, "()")


def _ratio(node: Node) -> str:
    first, *others = node.args
    if len(others) == 1:
        return _form(divide(first, others[0]))
    return f"ratio({_list([divide(other, first) for other in others])})"


def _real_set(node: Node) -> str:
    pieces = real_set(node)
    if pieces is None and node.op == "interval":
        return f"{str(node.atom)[0]}{_list(node.args)}{str(node.atom)[1]}"
    if pieces is None and node.op == "difference":
        return f"difference({_list(node.args)})"
    if pieces is None:
        return _joined(node.op, {_form(item) for item in node.args})
    if all(piece.low == piece.high for piece in pieces):
        return _unordered(Node("set", tuple(piece.low for piece in pieces)))
    forms = [f"{'(['[piece.left]}{_form(piece.low)},{_form(piece.high)}{')]'[piece.right]}" for piece in pieces]
    if len(forms) == 1:
        return forms[0]
    return f"union({','.join(forms)})"


def _list(nodes: Sequence[Node]) -> str:
    return ",".join(map(_form, nodes))


def _unordered(node: Node) -> str:
    if len(node.args) > MAX_ITEMS:
        raise Unreadable(f"more than {MAX_ITEMS} items")
    values = by_name(node.args)
    if node.op != "all" and len(values) > 1:  # x = 2, y = 3 is the point (2, 3)
        return f"({_list(values)})"
    if node.op == "list" and ops(node.args) == {"interval"}:
        return _real_set(Node("union", node.args))
    return _joined("all" if node.op == "all" else "set", set(map(_item, node.args)))


def _item(node: Node) -> str:
    """The form of an item of a set, where the set {2} is no 2."""
    if node.op == "set":
        return f"{{{_form(node)}}}"
    return _form(node)


def _joined(op: str, forms: set[str]) -> str:
    """The one form, or all of them under `op`."""
    if len(forms) == 1:
        return forms.pop()
    return f"{op}({','.join(sorted(forms))})"


def _scalar(node: Node) -> str:
    if node.value is not None:
        return _exact(node.value)
    values = _values(node)
    seen = {_digits(value) for value in values if value is not None}
    if not seen:
        return written(node)
    if len(seen) == 1:  # a constant, perhaps one that is written with variables
        return seen.pop()
    return _digest(list(map(_digits, values)))


def _exact(value: Fraction) -> str:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > WRITABLE:
        return _digest([hex(value.numerator), hex(value.denominator)])
    return str(value)


def _relation(node: Node) -> str:
    """left - right at the points, over its first value: the same for every multiple of the relation."""
    values = _values(add(node.args[0], negate(node.args[1])))
    scale = next((value for value in values if value), None)
    if scale is None:
        return written(node)
    if node.op in ("<", "<="):
        scale = abs(scale)
    ratios = [None if value is None else value / scale for value in values]
    return _digest([node.op, *variables(node), *map(_digits, ratios)])


def _values(node: Node) -> Values:
    """The values of a scalar at the points of its variables; at one point if it has none."""
    numbers, names, values = context(), variables(node), Values()
    real = bool(names) and not any(each.op == "const" and each.atom == "i" for each in walk(node))
    absolute = node
    if real:
        absolute = rebuild(node, _absolute)
    for point in _points(names):
        value = _value(node, point, numbers)
        if real and value is not None and numbers.im(value):
            value = _value(absolute, point, numbers)
        if real and value is not None and numbers.im(value):
            value = None  # as in `approximate.differ`
        values.append(value)
    return values


def _absolute(node: Node) -> Node | None:
    """A logarithm as that of the absolute value; None for what is none."""
    if node.op != "call" or node.atom != "ln":
        return None
    return call("ln", call("abs", rebuild(node.args[0], _absolute)))


def _value(node: Node, point: dict[str, Fraction], context: Any) -> Any | None:
    """The value at `_FINE` bits if that at `_COARSE` bits agrees with it."""
    pair = []
    for bits in (_COARSE, _FINE):
        context.prec = bits
        try:
            pair.append(evaluate(node, point, context))
        except (ZeroDivisionError, Undefined, Unreadable):
            return None
    real, imaginary = (_agreed(part(pair[0]), part(pair[1]), context) for part in (context.re, context.im))
    if real is None or imaginary is None:
        return None
    return context.mpc(real, imaginary) if imaginary else real


def _agreed(coarse: Any, fine: Any, context: Any) -> Any | None:
    if not fine:
        return fine
    magnitude = context.mag(fine)
    agree = abs(coarse - fine) <= abs(fine) * context.mpf(2) ** -_LARGEST
    if agree and _SMALLEST < magnitude < _LARGEST:
        return fine
    if not agree and magnitude < _ZERO:
        return context.mpf(0)
    return None


def _points(names: Sequence[str]) -> Iterator[dict[str, Fraction]]:
    """Two points with positive coordinates, one small and one large, then such points with one coordinate negative.

    Never more than one is, so that `\\ln xy` and `\\ln x + \\ln y` are defined at the same points. A coordinate hangs
    on its own name and the number of the point only.
    """
    if not names:
        yield {}
        return
    turned = [None, None, *(list(names) * 2)[: max(2, len(names))]]
    for index, negative in enumerate(turned):
        low, high = ((100, 996), (5_000, 99_000))[index % 2]
        point = {name: Fraction(random.Random(f"{name} {index}").randint(low, high), 997) for name in names}
        if negative is not None:
            point[negative] = -point[negative]
        yield point


def _digits(value: Any | None) -> str:
    """`DIGITS` digits of a value, or the rational number that it is."""
    if value is None:
        return "undefined"
    context = value.context
    if context.im(value):
        return f"complex({_digits(context.re(value))},{_digits(context.im(value))})"
    if not value:
        return "0"
    exact = Fraction(int(context.ldexp(context.re(value), _FINE)), 1 << _FINE)
    near = exact.limit_denominator(_RATIONAL)
    if near and abs(near - exact) < Fraction(1, 1 << -_ZERO):
        return str(near)
    return f"~{context.nstr(context.re(value), DIGITS)}"


def _digest(parts: Sequence[str]) -> str:
    return "~" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
