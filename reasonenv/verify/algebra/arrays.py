r"""Sums and products that may be matrices or progressions, and vectors written with the unit vectors i, j, k."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from reasonenv.verify.algebra import expression as ex
from reasonenv.verify.algebra.expression import SCALARS, Node, Unreadable

_MAX_DETERMINANT = 4
_BASES = (
    tuple(Node("var", (), f"hat {letter}") for letter in "ijk"),
    (ex.IMAGINARY, Node("var", (), "j"), Node("var", (), "k")),
)


def add(*terms: Node) -> Node:
    """The sum of values, or of matrices of one shape."""
    if "matrix" not in ex.ops(terms):
        return ex.add(*terms)
    total = terms[0]
    for term in terms[1:]:
        if term.op != total.op or _shape(term) != _shape(total):
            raise Unreadable("a sum of matrices of different shapes")
        total = _matrix(list(map(_row_sum, total.args, term.args)))
    return total


def _shape(matrix: Node) -> tuple[int, int]:
    return len(matrix.args), len(matrix.args[0].args)


def multiply(a: Node, b: Node) -> Node:
    """The product of two values, of a value and a matrix, or of two matrices whose shapes fit."""
    if a.op in SCALARS and b.op in SCALARS:
        return ex.multiply(a, b)
    if a.op in SCALARS and b.op == "matrix":
        return _matrix([_scaled(a, row.args) for row in b.args])
    if a.op == "matrix" and b.op in SCALARS:
        return multiply(b, a)
    if a.op != "matrix" or b.op != "matrix" or len(a.args[0].args) != len(b.args):
        raise Unreadable(f"a product of a {a.op} and a {b.op}")
    columns = transpose(b).args
    return _matrix([_row_product(row, columns) for row in a.args])


def progression(terms: Sequence[Node]) -> Node:
    r"""The sum `1+2+\cdots+n` of an arithmetic progression, whose first terms show the step."""
    if len(terms) < 4:
        raise Unreadable("a sum with dots that does not show its step")
    *first, dots, last = terms
    steps = {ex.add(second, ex.negate(one)) for one, second in pairwise(first)}
    step = steps.pop() if len(steps) == 1 else ex.ZERO
    if dots.op != "dots" or not step.value or ex.ops(ex.walk(last)) & {"^", "call"}:  # 1+2+..+2^n doubles
        raise Unreadable("a sum with dots that is no arithmetic progression")
    count = ex.add(ex.divide(ex.add(last, ex.negate(first[0])), step), ex.ONE)
    if count.value is not None and (count.value.denominator != 1 or count.value <= len(first)):
        raise Unreadable("a progression that does not come to its last term")
    return ex.multiply(count, ex.add(first[0], last), ex.number(ex.HALF))


def transpose(node: Node) -> Node:
    """The transpose of a matrix; a column for a point, which is written as a row."""
    if node.op == "tuple":
        return _matrix(list(zip(map(ex.scalar, node.args))))
    return _matrix(list(zip(*map(_items, node.args), strict=True)))


def _items(row: Node) -> Sequence[Node]:
    return row.args


def determinant(matrix: Node) -> Node:
    """The determinant of a square matrix of up to `_MAX_DETERMINANT` rows, along its first row."""
    rows = [row.args for row in matrix.args]
    if len(rows) > _MAX_DETERMINANT or len(rows) != len(rows[0]):
        raise Unreadable("a determinant of a matrix that is large or not square")
    if len(rows) == 1:
        return rows[0][0]
    terms = []
    for column, item in enumerate(rows[0]):
        minor = _matrix([row[:column] + row[column + 1 :] for row in rows[1:]])
        terms.append(ex.multiply(ex.number((-1) ** column), item, determinant(minor)))
    return ex.add(*terms)


def coordinates(node: Node, count: int) -> tuple[Node, ...] | None:
    r"""The coordinates of a value that is linear in i, j, k or \hat{i}, \hat{j}, \hat{k}; None if it is not."""
    if node.op not in SCALARS or count not in (2, 3):
        return None
    for vectors in _BASES:
        units = vectors[:count]
        zeros = dict.fromkeys(vectors, ex.ZERO)
        try:
            rest = ex.rebuild(node, zeros.get)
            parts = tuple(ex.rebuild(node, {**zeros, unit: ex.ONE}.get) for unit in units)
        except Unreadable:  # a division by one of them
            continue
        if rest == ex.ZERO and ex.add(*map(ex.multiply, parts, units)) == node:
            return parts
    return None


def _row_sum(row: Node, other: Node) -> list[Node]:
    return list(map(ex.add, row.args, other.args))


def _scaled(scale: Node, items: Sequence[Node]) -> list[Node]:
    return [ex.multiply(scale, item) for item in items]


def _row_product(row: Node, columns: Sequence[Node]) -> list[Node]:
    return [ex.add(*map(ex.multiply, row.args, column.args)) for column in columns]


def _matrix(rows: Sequence[Sequence[Node]]) -> Node:
    return Node("matrix", tuple(Node("row", tuple(row)) for row in rows))
