"""Sets of reals against an oracle that knows nothing of intervals: membership of points, between and at the ends."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonenv.core import Reason
from reasonenv.verify.algebra.compare import compare
from reasonenv.verify.algebra.expression import INFINITY, MINUS_INFINITY, Node, Unreadable, number
from reasonenv.verify.algebra.parse import parse
from reasonenv.verify.algebra.sets import RealSet, real_set

ENDS = range(5)
POINTS = [Fraction(point, 2) for point in range(-1, 11)]  # the ends, and a point between each two and beyond


@st.composite
def sets(draw: st.DrawFn, depth: int = 3) -> tuple[str, frozenset[Fraction]]:
    """A set in LaTeX, and which of `POINTS` it holds."""
    if depth == 0 or draw(st.booleans()):
        return draw(intervals() | points())
    (one, a), (other, b) = draw(sets(depth - 1)), draw(sets(depth - 1))
    return draw(
        st.sampled_from(
            [
                (rf"({one})\cup({other})", a | b),
                (rf"({one})\cap({other})", a & b),
                (rf"({one})\setminus({other})", a - b),
            ]
        )
    )


@st.composite
def intervals(draw: st.DrawFn) -> tuple[str, frozenset[Fraction]]:
    low, high = sorted(draw(st.lists(st.sampled_from(ENDS), min_size=2, max_size=2, unique=True)))
    left, right = draw(st.booleans()), draw(st.booleans())
    inside = {point for point in POINTS if low < point < high}
    inside |= {Fraction(low)} if left else set()
    inside |= {Fraction(high)} if right else set()
    return f"{'(['[left]}{low},{high}{')]'[right]}", frozenset(inside)


@st.composite
def points(draw: st.DrawFn) -> tuple[str, frozenset[Fraction]]:
    items = draw(st.lists(st.sampled_from(ENDS), max_size=2))
    return rf"\{{{','.join(map(str, items))}\}}", frozenset(map(Fraction, items))


def holds(pieces: RealSet, point: Fraction) -> bool:
    for low, high, left, right in pieces:
        above = low == MINUS_INFINITY or (
            low.value is not None and (low.value < point or (left and low.value == point))
        )
        below = high == INFINITY or (high.value is not None and (point < high.value or (right and high.value == point)))
        if above and below:
            return True
    return False


@settings(deadline=None, max_examples=300)
@given(sets())
def test_a_set_holds_what_its_parts_say(written: tuple[str, frozenset[Fraction]]) -> None:
    text, members = written
    pieces = real_set(parse(text))
    assert pieces is not None
    assert {point for point in POINTS if holds(pieces, point)} == members


@settings(deadline=None, max_examples=200)
@given(sets(), sets())
def test_two_sets_are_equal_exactly_if_they_hold_the_same_points(
    one: tuple[str, frozenset[Fraction]], other: tuple[str, frozenset[Fraction]]
) -> None:
    verdict = compare(rf"({one[0]})\cup\emptyset", rf"({other[0]})\cup\emptyset")
    assert (verdict is Reason.CORRECT) == (one[1] == other[1])


def test_ends_are_ordered_by_their_values() -> None:
    # sqrt 2 < 3/2 < pi/2, and sqrt(3 + 2 sqrt 2) = 1 + sqrt 2 joins the two intervals
    assert real_set(parse(r"(\sqrt2,\frac32)\cup(1,\frac{\pi}{2})")) == real_set(parse(r"(1,\frac{\pi}{2})"))
    joined = real_set(parse(r"(0,\sqrt{3+2\sqrt2}]\cup[1+\sqrt2,3)"))
    assert joined is not None
    assert [(piece.low, piece.high) for piece in joined] == [(number(0), number(3))]


def test_ends_that_are_no_constants_make_no_set() -> None:
    assert real_set(parse("(a,b)")) is None
    assert real_set(Node("text", (), "none")) is None
    with pytest.raises(Unreadable):
        parse(r"\{1\}\cup(2,3)\cap(1,2)")
