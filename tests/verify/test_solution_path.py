"""Written equations: wrong ones are told from right ones, and of several readings the better one counts."""

from __future__ import annotations

import sys
from fractions import Fraction
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.catalog import make_task
from reasonenv.verify.solution_path import equations, steps_hold


def test_the_equations_of_a_text_in_their_order() -> None:
    found = [(e.left.strip(), e.result) for e in equations("Add: 7 + 5 = 12.\n2. 2+3=5+4=$9; x = y")]
    assert found == [("7 + 5", "12"), ("2+3", "5"), ("5+4", "9")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7+5=12\n12*3=36\n#### 36", True),
        ("8-3=6\n6-4=1\n#### 1", False),  # two errors that cancel: 8-3-4 is 1
        ("Tom has 7 + 5 = 12 apples, and then 12 * 3 = $37.", False),
        ("48/2 = <<48/2=24>>24 clips", True),
        ("$1,200 * 2 = $2,400", True),
        ("2+3=5+4=9", True),  # what a running calculation means
        ("3*4=2*6", True),
        ("3*4=2*7", False),
        ("1. 7+5=12\n2. 12-5=7", True),
        ("- 3+5=8", True),  # an item of a list
        ("-3+5=8", False),
        ("50% * 20 = 10, 100% - 20% = 80%", True),  # a hundredth and a unit
        ("10/3=3.33", True),
        ("10/3=3.34", False),
        ("10/3=3", False),
        ("0.1+0.25=0.4", False),  # 0.35 needs no rounding
        ("1/2+1/4=3/4", True),
        ("0.5+1=1 1/2", True),
        ("x = 3, and 12 = 12", None),  # nothing is calculated
        ("half of 20-5=5", None),  # the expression goes on to the left
        ("2x+3*2=9", None),
        ("1 1/2+1=2.5", None),
        (".25 / .05 = 5, and .5*2=1", True),
        ("3 x (2/3) = 2", None),
        ("100/5 = 5A/5", None),
        ("17/10=1 r7", None),
        ("$1 / 2 = 50 cents", None),
        ("12*3=37 dollars a week", False),
        ("192*100=$1920", False),
        ("7/0=0", None),
        ("twelve", None),
        ("", None),
    ],
)
def test_gold(text: str, expected: bool | None) -> None:
    assert steps_hold(text) is expected


def test_every_reference_solution_of_chain_is_right_and_none_survives_a_wrong_result() -> None:
    for problem in make_task("Chain", size=200, operands=4, operators="+-*").problems:
        assert steps_hold("\n".join(problem.steps)) is True
        left, _, result = problem.steps[-1].partition("=")
        assert steps_hold("\n".join([*problem.steps[:-1], f"{left}={int(result) + 1}"])) is False


NUMBERS = st.integers(-99, 99)


@given(NUMBERS, st.sampled_from("+-*/"), st.integers(1, 99), st.fractions(max_denominator=50))
def test_one_step_holds_where_python_finds_the_same_fraction(a: int, sign: str, b: int, offset: Fraction) -> None:
    value = {"+": Fraction(a + b), "-": Fraction(a - b), "*": Fraction(a * b), "/": Fraction(a, b)}[sign]
    assert steps_hold(f"{a}{sign}{b}={value}") is True
    assert steps_hold(f"{a}{sign}{b}={value + offset}") is (offset == 0)


@given(st.text(alphabet="0123456789+-*/=(). ,$%x\n<>", max_size=80))
def test_nothing_that_is_written_raises(text: str) -> None:
    assert steps_hold(text) in (True, False, None)


@pytest.mark.parametrize("piece", ["1+1=", "(", "1+", "1 ((((", " ", "9" * 50 + "*", "%=1+", "1/3="])
def test_the_work_is_linear_in_the_text(piece: str) -> None:
    # Eight times the text: eight times the lines of Python, and not 64 times. No equation occurs twice, as those that
    # have been seen cost nothing.
    assert executed_lines("".join(f"{piece}{400 + i}" for i in range(400))) <= 12 * max(
        executed_lines("".join(f"{piece}{9000 + i}" for i in range(50))), 1_000
    )


def executed_lines(text: str) -> int:
    """Lines of Python that `steps_hold` executes."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        steps_hold(text)
    finally:
        sys.settrace(before)
    return count
