"""parse_number: exact where it reads, and silent where it would have to guess."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.verify.numeric import MAX_LENGTH, parse_number

INTEGERS = st.integers(-(10**60), 10**60)


@given(INTEGERS)
def test_integers_come_back(n: int) -> None:
    assert parse_number(str(n)) == parse_number(f"{n:,}") == n
    assert parse_number(f"{n:,} apples.") == parse_number(f"\\text{{total}} = {n}") == n
    assert parse_number(str(n).replace("-", "−")) == n


@given(INTEGERS, st.integers(1, 10**30))
def test_fractions_come_back_exactly(top: int, bottom: int) -> None:
    value = Fraction(top, bottom)
    assert parse_number(f"{top}/{bottom}") == value
    assert parse_number(f"$\\frac{{{top}}}{{{bottom}}}$") == value
    assert parse_number(f"\\dfrac{{{top}}}{{{bottom}}}") == value


@given(st.integers(0, 10**12), st.integers(2, 10**6), st.data())
def test_the_sign_of_a_mixed_number_takes_in_both_parts(whole: int, bottom: int, data: st.DataObject) -> None:
    top = data.draw(st.integers(0, bottom - 1))
    value = whole + Fraction(top, bottom)
    assert parse_number(f"{whole} {top}/{bottom}") == value
    assert parse_number(f"{whole}\\frac{{{top}}}{{{bottom}}}") == value
    assert parse_number(f"-{whole} {top}/{bottom}") == -value


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=6))
def test_decimals_come_back_exactly(value: object) -> None:
    assert (
        parse_number(f"{value:f}")
        == parse_number(f"{value:f} km")
        == parse_number(f"{value:f}%")
        == Fraction(str(value))
    )


@given(st.integers(-(10**9), 10**9), st.integers(0, 10**4 - 1), st.integers(-1000, 1000))
def test_powers_of_ten_come_back_exactly(whole: int, thousandths: int, exponent: int) -> None:
    text = f"{whole}.{thousandths:04d}"
    value = Fraction(text) * Fraction(10) ** exponent
    assert parse_number(f"{text}e{exponent}") == parse_number(f"{text}E{exponent:+}") == value
    assert parse_number(f"{text} \\times 10^{{{exponent}}}") == parse_number(f"{text}x10^{exponent}") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$18.00", 18),
        ("-$5", -5),
        ("$-5", -5),
        ("€5", 5),
        ("5€", 5),
        ("£1,000.50", Fraction(2001, 2)),
        ("\\$18", 18),
        ("$\\$18.00$", 18),
        ("50%", 50),  # percent is a unit
        ("50\\%", 50),
        ("18 dollars", 18),
        ("18\\,\\text{cm}", 18),
        ("5 m²", 5),
        ("5 km/h", 5),
        ("$5/hour", 5),
        ("3 hours.", 3),
        ("x = 5", 5),
        ("Total: 5", 5),
        ("**18**", 18),
        ("\\(18\\)", 18),
        ("1{,}234", 1234),
        ("1\\,234", 1234),
        (".5", Fraction(1, 2)),
        ("007", 7),
    ],
)
def test_one_number_in_many_dresses(text: str, value: Fraction) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "abc",
            "-",
            ".",
            "$",
            "1/0",
            "\x00",
            "5\x00",
            "٣",
            "5٣",
            "５",
            "½",
            "5½",
            "5²",
            "5^2",
            "5!",
            "(5)",
            "--5",
        ),
        *("3, 4", "3,4", "12,34", "1,2345", "1 000", "3\\,4", "5 10/2", "1.2.3", "5:30", "5 - 2", "2+2", "2*2", "1 e5"),
        *("12 apples and 3 pears", "5 or six", "2x", "2 x", "5n", "2\\pi", "2pi", "\\sqrt{5}", "3 and a half"),
        *("5 million", "5k", "2 dozen", "minus 5", "half of 10", "nan", "inf", "1e1001", "1e-1001", "1e999999999"),
        "\\frac{1}{0}",
        "9" * (MAX_LENGTH + 1),
    ],
)
def test_what_is_not_one_number_is_none(text: str) -> None:
    assert parse_number(text) is None


def test_equality_is_exact() -> None:
    assert parse_number("0.333") != parse_number("1/3")
    assert parse_number("0.5") == parse_number("1/2") == parse_number("5e-1") == parse_number("2/4")
    assert parse_number("1e-99") != parse_number("1e-98")


@given(st.text())
def test_any_text_is_a_number_or_none(text: str) -> None:
    assert isinstance(parse_number(text), Fraction | None)
