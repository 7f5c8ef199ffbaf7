"""Symbolic answers: the corpus, every reading of the grammar, and properties that no list of examples could show."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonenv.core import Reason
from reasonenv.verify.algebra.compare import compare
from reasonenv.verify.algebra.expression import Node, Unreadable, _whole_root
from reasonenv.verify.algebra.parse import parse
from reasonenv.verify.audit import corpus
from reasonenv.verify.grade import grade_many

PATIENCE = 60.0  # seconds; the tests are about verdicts, also on a machine that is busy


# no false accept and few false rejects: tests/verify/test_audit.py
# no false accept and few false rejects: tests/verify/test_audit.py
CORPUS = [trial for trial in corpus() if trial.kind == "math" and trial.answer is not None]


def test_every_gold_of_the_corpus_is_itself() -> None:
    # an unreadable gold would make an unequal pair pass for the wrong reason
    golds = sorted({trial.gold for trial in CORPUS if not trial.right})
    verdicts = grade_many([rf"\boxed{{{gold}}}" for gold in golds], golds, timeout=PATIENCE)
    assert [verdict.gold for verdict in verdicts if not verdict.correct] == []


def test_unequal_pairs_are_unequal_in_both_directions() -> None:
    pairs = [(str(trial.answer), trial.gold) for trial in CORPUS if not trial.right]
    accepted = [(a, b) for a, b in pairs if Reason.CORRECT in (compare(a, b), compare(b, a))]
    assert accepted == []


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "()", "(1", "[1,2,3)", "{", "}", r"\frac{1}", r"\frac", r"\sqrt", "|x", "1 +", "2 ^"),
        *("3 4", "2 3/2", r"2\frac{3}{2}", "x/2y", "5!!", "(-1)!", "2.5!", "5001!", "x2", "1/3 1/2", "--5", "f'("),
        *(r"2/3\frac{1}{2}", r"\sqrt12", r"\frac123", "2^105^2", "1.1(6)", r"(1,2)\cup(3,4)\cap(5,6)"),
        *("1/0", "0^0", "0^{-1}", r"\frac{1}{2-2}", r"2^{\infty}", r"\infty-\infty", r"(1,2)+(3,4)", r"\{1\}+1"),
        *(r"\alert{1}", "import os", "a=b=c", "x<y>z", "x\x00y", "#1", "a@b", "x_{"),
        *(r"\begin{verbatim}1\end{verbatim}", r"\begin{pmatrix}1&2\\3\end{pmatrix}", "not 5"),
    ],
)
def test_what_the_grammar_does_not_have_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        parse(text)
    assert compare("1", text) is Reason.UNPARSABLE_GOLD
    assert compare(text, r"\sqrt{2}") is Reason.UNPARSABLE_ANSWER


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-2^2", -4),
        ("2^3^2", 512),
        ("2^-1", Fraction(1, 2)),
        ("1/2/2", Fraction(1, 4)),
        ("2-3-4", -5),
        ("3!/2", 3),
        ("2^3!", 64),
        ("-3!", -6),
        ("6/2(1+2)", 9),  # numbers only: from left to right
        (r"2\cdot-3", -6),
        ("|1-|2-5||", 2),
        ("2|3-4|", 2),
        (r"\frac12\frac13", Fraction(1, 6)),
        (r"\frac{1}2\frac13", Fraction(1, 6)),
        (r"2^3\frac12", 4),
        (r"3\frac12\cdot2\frac12", Fraction(35, 4)),
        (r"\sqrt[4]{16}", 2),
        (r"\frac{1,234}{2}", 617),
        ("[2(1+1)]^2", 16),
        ("2^3 3^2", 72),
        ("2^33^2", 72),  # LaTeX sets one digit as the exponent
        ("2**12", 4096),
        (r"\frac{10!}{3!7!}", 120),
        ("2(3)4", 24),
        (r"3{\frac12}", Fraction(7, 2)),
        (r"{3}\frac12", Fraction(7, 2)),
        (r"\frac{3}{\frac12}", 6),
        (r"{10 \choose 3}", 120),
        (r"_{10}C_3", 120),
        (r"{1 \over 2}", Fraction(1, 2)),
        (r"\lfloor 2.5\rfloor", 2),
        (r"\lceil -2.5\rceil", -2),
        (r"0.1\overline{6}", Fraction(1, 6)),
        (r"0.\dot12\dot3", Fraction(123, 999)),
        ("0.(3)", Fraction(1, 3)),
        ("1.5x10^3", 1500),
        (r"1.5\text{e}3", 1500),
        (r"1\text{0}", 10),
        (r"7\text{.5}", Fraction(15, 2)),
        ("12 345", 12345),
        (r"5\text{ million}", 5_000_000),
        (r"5\text{ quarters}", Fraction(5, 4)),
    ],
)
def test_precedence(text: str, value: Fraction) -> None:
    assert parse(text).value == value


@st.composite
def arithmetic(draw: st.DrawFn, depth: int = 4) -> tuple[str, Fraction]:
    """A text in LaTeX and the number that it is."""
    if depth == 0 or draw(st.booleans()):
        number = draw(st.integers(0, 99))
        return str(number), Fraction(number)
    (left, a), (right, b) = draw(arithmetic(depth - 1)), draw(arithmetic(depth - 1))
    forms = [(f"({left}) + ({right})", a + b), (f"({left})-({right})", a - b), (rf"({left})\cdot({right})", a * b)]
    if b:
        forms += [(rf"\frac{{{left}}}{{{right}}}", a / b), (rf"({left})/({right})", a / b)]
    if a:
        forms += [(f"({left})^{{-2}}", a**-2), (rf"\left({left}\right)({right})", a * b)]
    return draw(st.sampled_from(forms))


@settings(deadline=None)
@given(arithmetic())
def test_arithmetic_is_exact(written: tuple[str, Fraction]) -> None:
    text, value = written
    assert parse(text).value == value
    assert compare(text, str(value)) is Reason.CORRECT
    assert compare(text, str(value + Fraction(1, 10**40))) is Reason.WRONG


@settings(max_examples=25, deadline=None)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9))
def test_a_product_is_its_expansion_and_nothing_beside_it(p: int, q: int, r: int) -> None:
    # (x + p)(rx + q) = r x^2 + (q + pr) x + pq
    factored = f"(x+({p}))({r}x+({q}))"
    assert compare(factored, f"{r}x^2+({q + p * r})x+({p * q})") is Reason.CORRECT
    assert compare(factored, f"{r}x^2+({q + p * r})x+({p * q + 1})") is Reason.WRONG


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 50))
def test_square_factors_leave_a_root(n: int, k: int) -> None:
    assert compare(rf"\sqrt{{{k * k * n}}}", rf"{k}\sqrt{{{n}}}") is Reason.CORRECT
    assert compare(rf"\sqrt{{{k * k * n + 1}}}", rf"{k}\sqrt{{{n}}}") is Reason.WRONG


@given(st.integers(1, 10**300), st.integers(2, 40) | st.integers(2, 10**600))
def test_a_whole_root_is_the_largest_below_whatever_the_index(value: int, index: int) -> None:
    # 0.511^216 is a fraction with 10^648 below the line: as an exponent it once hung the parser in a root of that index
    root = _whole_root(value, index)
    assert root**index <= value
    assert index >= value.bit_length() or (root + 1) ** index > value  # a (1 + 1)^index of so many digits has no room
    assert compare(f"{value}^.511^216", f"{value}^(0.511^216)") is Reason.CORRECT


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=6))
def test_sets_have_no_order_and_tuples_have_one(items: list[int]) -> None:
    turned = items[::-1]
    assert compare(str(turned)[1:-1], str(items)[1:-1]) is Reason.CORRECT
    assert (compare(f"({str(turned)[1:-1]})", f"({str(items)[1:-1]})") is Reason.CORRECT) == (turned == items)


PIECES = (
    *(r"\frac", r"\sqrt", r"\text{", r"\text{ or }", r"\{", r"\}", r"\mid", r"\cup", r"\setminus", r"\approx", r"\ne"),
    *(
        r"\begin{pmatrix}",
        r"\end{pmatrix}",
        r"\begin{cases}",
        r"\\",
        r"\sum_{k=1}^{n}",
        r"\choose",
        r"\lfloor",
        "^T",
        "...",
    ),
    *("{x|", "f(", "P(", "x=", "x<", "|", "°", "'", "%", ":", "_8", "AB", "km ", "no solution", "(five)", "(=", "  x="),
)
WRITTEN = st.text(alphabet="0123456789+-*/^!|(){}[]\\,.=<> xyepisnfracqt_&%", max_size=40) | st.lists(
    st.sampled_from([*PIECES, *"0129xyn(){}[],;+-/^ "]), max_size=30
).map("".join)


@settings(max_examples=600, deadline=None)
@given(WRITTEN)
def test_any_text_is_a_tree_or_unreadable(text: str) -> None:
    with suppress(Unreadable):
        assert isinstance(parse(text), Node)


@pytest.mark.parametrize("piece", [*PIECES, "(", "{", "[", "2^", "-", r"\sin ", r"\sqrt{", r"\frac{1}{", r"\{x|"])
def test_nesting_is_bounded(piece: str) -> None:
    with suppress(Unreadable):
        assert isinstance(parse((piece * 200)[:990]), Node)
