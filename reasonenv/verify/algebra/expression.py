"""Trees of mathematics, built only through constructors that fold what is exact and keep what would be too large.

A tree is in order as soon as it stands: sums and products are flat and sorted, like terms and equal bases are joined,
rational numbers are computed, roots of integers are split into primes. So many equal expressions are the same tree.
Every rewriting holds wherever both sides are defined; `x^(1/2)` of a square stays, because x may be negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb, factorial, floor, gcd, lcm

MAX_BITS = 100_000  # of a computed numerator or denominator: 5000! has 54,000
MAX_FACTORIAL = 5_000
_MAX_DENOMINATORS = 8
_MAX_WRITTEN_OUT = 20  # factors of a binomial with a variable on top
WRITABLE = 14_000  # bits of a whole number that Python writes in decimals
_TRIAL = 1_000  # primes below this are found in the argument of a root

# Scalar operations; every other `op` is a structure (set, tuple, relation, ..) and takes no part in arithmetic.
SCALARS = frozenset({"num", "var", "const", "+", "*", "^", "call", "pm"})
SETS = frozenset({"set", "interval", "union", "intersection", "difference", "domain"})
KNOWN_FUNCTIONS = frozenset(
    ("sin", "cos", "asin", "acos", "atan", "sinh", "cosh", "tanh", "ln", "abs", "floor", "factorial")
)
HALF = Fraction(1, 2)


class Unreadable(ValueError):
    """The text is not in the grammar, or it is larger than the guards allow. The message says which."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation on its arguments. `atom` is a number, or the name of a variable, constant, function or bracket."""

    op: str
    args: tuple[Node, ...] = ()
    atom: Fraction | str | None = None

    @property
    def value(self) -> Fraction | None:
        """The exact rational number that the tree is, if it is one."""
        return self.atom if self.op == "num" and isinstance(self.atom, Fraction) else None


def number(value: Fraction | int) -> Node:
    value = Fraction(value)
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise Unreadable(f"a number of more than {MAX_BITS} bits")
    return Node("num", (), value)


ZERO, ONE, MINUS_ONE = number(0), number(1), number(-1)
PI, E, IMAGINARY = (Node("const", (), name) for name in ("pi", "e", "i"))
INFINITY, MINUS_INFINITY = Node("inf", (ONE,)), Node("inf", (MINUS_ONE,))
REALS = Node("interval", (MINUS_INFINITY, INFINITY), "()")


def single(op: str, items: Sequence[Node]) -> Node:
    """The one item, or all of them under `op`."""
    if len(items) == 1:
        return items[0]
    return Node(op, tuple(items))


def scalar(node: Node) -> Node:
    """The same tree, which must be a value and not a set, tuple, relation or infinity. A percentage is a fraction."""
    if node.op == "percent":
        return divide(node.args[0], number(100))
    if node.op == "degree":
        return node.args[0]
    if node.op not in SCALARS:
        raise Unreadable(f"a {node.op} inside an expression")
    return node


def walk(node: Node) -> Iterator[Node]:
    """Every node of the tree, parents first."""
    yield node
    for arg in node.args:
        yield from walk(arg)


def variables(*nodes: Node) -> list[str]:
    """Sorted names of the variables."""
    return sorted({str(each.atom) for node in nodes for each in walk(node) if each.op == "var"})


def constant(node: Node) -> bool:
    """Whether the tree is a value without variables and unknown functions."""
    return node.op in SCALARS and all(
        each.op != "var" and (each.op != "call" or each.atom in KNOWN_FUNCTIONS) for each in walk(node)
    )


def ops(nodes: Iterable[Node]) -> set[str]:
    """The operations of the nodes themselves."""
    return {node.op for node in nodes}


def order(node: Node) -> tuple[object, ...]:
    """A key that sorts trees; numbers come first."""
    return (node.op != "num", node.op, "" if node.atom is None else node.atom, *map(order, node.args))


def rebuild(node: Node, change: Callable[[Node], Node | None]) -> Node:
    """The tree with every node for which `change` gives another one replaced, put in order again."""
    changed = change(node)
    if changed is not None:
        return changed
    args = tuple(rebuild(arg, change) for arg in node.args)
    if node.op == "call":
        return call(str(node.atom), *args)
    builders: dict[str, Callable[..., Node]] = {"+": add, "*": multiply, "^": power}
    if node.op in builders:
        return builders[node.op](*args)
    return Node(node.op, args, node.atom)


def add(*terms: Node) -> Node:
    """The sum, like terms joined."""
    total, counts = Fraction(0), dict[Node, Fraction]()
    for term in _flat("+", terms):
        count, rest = coefficient(term)
        if rest == ONE:
            total = _small(total + count)
        else:
            counts[rest] = _small(counts.get(rest, Fraction(0)) + count)
    parts = [multiply(number(count), rest) for rest, count in counts.items() if count]
    return _join("+", total, parts)


def multiply(*factors: Node) -> Node:
    """The product, equal bases joined: x^a x^b = x^(a+b). A number is carried into a sum that stands alone."""
    count, exponents = Fraction(1), dict[Node, Node]()
    waiting = list(_flat("*", factors))
    while waiting:
        factor = waiting.pop()
        if factor.value is not None:
            count = _small(count * factor.value)
            continue
        base, exponent = factor.args if factor.op == "^" else (factor, ONE)
        if base not in exponents:
            exponents[base] = exponent
            continue
        joined = power(base, add(exponents.pop(base), exponent))
        waiting += _flat("*", [joined])
    if count == 0:
        return ZERO
    parts = [power(base, exponent) for base, exponent in exponents.items()]
    if len(parts) == 1 and parts[0].op == "+" and count != 1:
        return add(*(multiply(number(count), term) for term in parts[0].args))
    return _join("*", count, parts)


def power(base: Node, exponent: Node) -> Node:
    """The power; an odd root of a negative number is the real one, a square root of it is imaginary."""
    value, count = exponent.value, base.value
    if value is None and count == 1:
        return ONE
    if value is None:
        return Node("^", (base, exponent))
    if value == 1:
        return base
    if value == 0:
        if count == 0:
            raise Unreadable("0 to the power of 0")
        return ONE
    if count is not None:
        return _power_of_number(count, value)
    whole = value.denominator == 1
    if base == IMAGINARY and whole:
        return (ONE, IMAGINARY, MINUS_ONE, multiply(MINUS_ONE, IMAGINARY))[value.numerator % 4]
    if base.op == "^" and whole:
        return power(base.args[0], multiply(base.args[1], exponent))
    if base.op == "*" and whole:
        return multiply(*(power(factor, exponent) for factor in base.args))
    if value.denominator % 2 and IMAGINARY not in walk(base):  # real roots: of a product, and of a power
        if base.op == "*":
            return multiply(*(power(factor, exponent) for factor in base.args))
        if base.op == "^" and base.args[1].value is not None and base.args[1].value.denominator == 1:
            return power(base.args[0], multiply(base.args[1], exponent))
    if base.op == "*":
        scale, rest = coefficient(base)
        if abs(scale) != 1:
            return multiply(
                power(number(abs(scale)), exponent), power(multiply(number(scale / abs(scale)), rest), exponent)
            )
    return Node("^", (base, exponent))


def negate(node: Node) -> Node:
    return multiply(MINUS_ONE, node)


def divide(top: Node, bottom: Node) -> Node:
    return multiply(top, power(bottom, MINUS_ONE))


def factorial_of(node: Node) -> Node:
    """The factorial of a whole number, or of an expression with variables."""
    count = node.value
    if count is None and variables(node):
        return call("factorial", node)
    if count is None or count.denominator != 1 or not 0 <= count <= MAX_FACTORIAL:
        raise Unreadable(f"a factorial of something else than a whole number up to {MAX_FACTORIAL}")
    return number(factorial(int(count)))


def choose(top: Node, bottom: Node) -> Node:
    """The binomial coefficient of two whole numbers, or of expressions with variables."""
    n, k = top.value, bottom.value
    if n is not None and k is not None:
        if n.denominator != 1 or k.denominator != 1 or not 0 <= k <= n <= MAX_FACTORIAL:
            raise Unreadable(f"a binomial of something else than whole numbers up to {MAX_FACTORIAL}")
        return number(comb(int(n), int(k)))
    if k is not None and k.denominator == 1 and 0 <= k <= _MAX_WRITTEN_OUT:
        factors = [add(top, number(-step)) for step in range(int(k))]
        return multiply(*factors, number(Fraction(1, factorial(int(k)))))
    rest = add(top, negate(bottom))
    return divide(factorial_of(top), multiply(factorial_of(bottom), factorial_of(rest)))


def chosen(name: str, args: Sequence[Node]) -> Node:
    """`max`, `min`, `gcd` or `lcm` of numbers; of other values a function that is not known, in any order of these."""
    values = [arg.value for arg in args if arg.value is not None]
    if len(values) < len(args):
        return call(name, *sorted(args, key=order))
    if name in ("max", "min"):
        return number(max(values) if name == "max" else min(values))
    if any(value.denominator != 1 for value in values):
        raise Unreadable(f"{name} of something else than whole numbers")
    return number((gcd if name == "gcd" else lcm)(*map(int, values)))


def conjugate(node: Node) -> Node:
    """The complex conjugate of an expression of real variables in which i stands."""
    if IMAGINARY not in walk(node):
        raise Unreadable("a bar over something that is no complex number")
    return rebuild(node, {IMAGINARY: negate(IMAGINARY)}.get)


def without_denominators(node: Node) -> Node:
    """A sum times the variable denominators of its terms: it is 0 where the sum is."""
    for _ in range(_MAX_DENOMINATORS):
        factors = [factor for term in _flat("+", [node]) for factor in _flat("*", [term])]
        below = [factor for factor in factors if factor.op == "^" and (factor.args[1].value or 0) < 0]
        variable = [factor for factor in below if variables(factor)]
        if not variable:
            break
        scale = power(variable[0], MINUS_ONE)
        node = add(*(multiply(term, scale) for term in _flat("+", [node])))
    return node


def call(name: str, *args: Node) -> Node:
    """The function `name` of its arguments; one that is not among `KNOWN_FUNCTIONS` is a name and nothing else."""
    value = args[0].value
    if value is not None and name == "abs":
        return number(abs(value))
    if value is not None and name == "floor":
        return number(floor(value))
    return Node("call", tuple(map(scalar, args)), name)


def opaque(node: Node) -> Node:
    """The tree with each unknown function and its arguments as one variable, which is named by how it is written."""

    unknown = [each for each in walk(node) if each.op == "call" and each.atom not in KNOWN_FUNCTIONS]
    if not unknown:
        return node
    return rebuild(node, {each: Node("var", (), written(each)) for each in unknown}.get)


def written(node: Node) -> str:
    """The tree as text."""
    atom = node.atom or ""
    if node.value is not None:
        value = node.value
        bits = max(value.numerator.bit_length(), value.denominator.bit_length())
        atom = f"{value.numerator:x}/{value.denominator:x}" if bits > WRITABLE else str(value)
    return f"{node.op}[{atom}]({','.join(map(written, node.args))})"


def apply(name: str, arg: Node, base: Node) -> Node:
    """The function `name` of `arg`, in terms of `KNOWN_FUNCTIONS`."""
    match name:
        case "tan":
            return divide(call("sin", arg), call("cos", arg))
        case "cot":
            return divide(call("cos", arg), call("sin", arg))
        case "sec":
            return divide(ONE, call("cos", arg))
        case "csc":
            return divide(ONE, call("sin", arg))
        case "exp":
            return power(E, arg)
        case "ceil":
            return negate(call("floor", negate(arg)))
        case "sqrt":
            return power(arg, number(HALF))
        case "cis":
            return add(call("cos", arg), multiply(IMAGINARY, call("sin", arg)))
        case "log":
            return divide(call("ln", arg), call("ln", base))
    return call(name, arg)


def _small(value: Fraction) -> Fraction:
    number(value)
    return value


def _flat(op: str, nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        if node.op == op:
            yield from node.args
        else:
            yield scalar(node)


def _join(op: str, count: Fraction, parts: Sequence[Node]) -> Node:
    """The sum or product of a number, left out where it changes nothing, and other parts."""
    if count != {"+": 0, "*": 1}[op] or not parts:
        parts = [number(count), *parts]
    return single(op, sorted(_flat(op, parts), key=order))


def coefficient(node: Node) -> tuple[Fraction, Node]:
    """The number in front, and what it multiplies."""
    if node.value is not None:
        return node.value, ONE
    if node.op == "*" and node.args[0].value is not None:
        return node.args[0].value, _join("*", Fraction(1), node.args[1:])
    return Fraction(1), node


def _power_of_number(base: Fraction, exponent: Fraction) -> Node:
    if base == 0:
        if exponent < 0:
            raise Unreadable("division by zero")
        return ZERO
    if base < 0 and exponent.denominator % 2:
        root = _power_of_number(-base, exponent)
        if exponent.numerator % 2:
            root = negate(root)
        return root
    if base < 0:
        if exponent.denominator == 2:
            return multiply(power(IMAGINARY, number(exponent.numerator)), _power_of_number(-base, exponent))
        return Node("^", (number(base), number(exponent)))
    if base == 1:
        return ONE
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent) * bits > MAX_BITS:
        return Node("^", (number(base), number(exponent)))
    if exponent.denominator == 1:
        return number(base**exponent.numerator)
    count, roots = Fraction(1), list[Node]()
    for sign, side in ((1, base.numerator), (-1, base.denominator)):
        for prime, times in _factors(side, exponent.denominator):
            total = sign * times * exponent
            whole = total.numerator // total.denominator  # the rest lies in [0, 1), so 1 / sqrt(3) is sqrt(3) / 3
            count = _small(count * Fraction(prime) ** whole)
            if total != whole:
                roots.append(Node("^", (number(prime), number(total - whole))))
    return _join("*", count, roots)


def _factors(value: int, index: int) -> Iterator[tuple[int, int]]:
    """Coprime factors and their multiplicities: all small primes, and the rest, as a perfect power if it is one."""
    for prime in (2, *range(3, _TRIAL, 2)):
        times = 0
        while value % prime == 0:
            value, times = value // prime, times + 1
        if times:
            yield prime, times
        if value == 1:
            return
    root = _whole_root(value, index)
    if root**index == value:
        yield root, index
    else:
        yield value, 1


def _whole_root(value: int, index: int) -> int:
    """The largest whole number whose `index`-th power is not above `value` (Newton, from above)."""
    if index >= value.bit_length():  # 2^index is above it; an index may have hundreds of digits
        return 1
    root = 1 << -(-value.bit_length() // index)
    while True:
        better = ((index - 1) * root + value // root ** (index - 1)) // index
        if better >= root:
            return root
        root = better
