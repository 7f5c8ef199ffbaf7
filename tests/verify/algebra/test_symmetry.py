"""compare(a, b) and compare(b, a) say the same of equality, whatever is written."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from reasonenv.core import Reason
from reasonenv.verify.algebra.compare import compare
from reasonenv.verify.audit import corpus

ANSWERS = [trial.answer for trial in corpus() if trial.answer is not None and trial.kind == "math"]
GOLDS = [trial.gold for trial in corpus() if trial.kind == "math"]
VALUES = st.sampled_from(
    ["0", "1", "2", "-2", "0.5", r"\frac{1}{2}", r"\sqrt{2}", r"\pi", "x", "2x+1", r"30^\circ", "50\\%"]
)
BOUNDS = st.sampled_from(["-2", "0", r"\frac{1}{2}", r"\sqrt{2}", "2"])
HALF_LINES = st.builds("x{}{}".format, st.sampled_from(["<", ">", r"\le ", r"\ge ", r"\ne ", "="]), BOUNDS)


@st.composite
def intervals(draw: st.DrawFn) -> str:
    opening, closing = draw(st.sampled_from(["(", "["])), draw(st.sampled_from([")", "]"]))
    return f"{opening}{draw(BOUNDS)},{draw(BOUNDS)}{closing}"


SETS = intervals() | HALF_LINES | st.sampled_from([r"\emptyset", r"\mathbb{R}", r"\{0,2\}", "none"])
JOINED = st.builds(
    "{} {} {}".format, SETS, st.sampled_from([r"\cup", r"\cap", r"\setminus", r"\text{ or }", ","]), SETS
)
WRITTEN = (
    VALUES
    | SETS
    | JOINED
    | st.builds("{}={}".format, st.sampled_from(["x", "y", "f(x)", "AB", "(x,y)"]), VALUES)
    | st.builds("{}, {}".format, VALUES, VALUES)
    | st.builds("({},{})".format, VALUES, VALUES)
    | st.builds(r"\{{{},{}\}}".format, VALUES, VALUES)
    | st.builds("{}:{}".format, VALUES, VALUES)
    | st.builds(r"{}\approx {}".format, VALUES, VALUES)
    | st.builds(r"\begin{{pmatrix}}{}\\{}\end{{pmatrix}}".format, VALUES, VALUES)
    | st.sampled_from(ANSWERS)
    | st.sampled_from(GOLDS)
)


def is_equal(answer: str, gold: str) -> bool:
    return compare(answer, gold) is Reason.CORRECT


@settings(deadline=None, max_examples=400)
@given(WRITTEN, WRITTEN)
def test_equality_is_symmetric(one: str, other: str) -> None:
    assert is_equal(one, other) == is_equal(other, one)


def test_equality_is_symmetric_on_the_corpus() -> None:
    pairs = [(trial.answer, trial.gold) for trial in corpus() if trial.answer is not None and trial.kind == "math"]
    assert [pair for pair in pairs if is_equal(*pair) != is_equal(*pair[::-1])] == []


@settings(deadline=None, max_examples=200)
@given(WRITTEN)
def test_what_can_be_read_is_itself(text: str) -> None:
    assert compare(text, text) in (Reason.CORRECT, Reason.UNPARSABLE_GOLD)
