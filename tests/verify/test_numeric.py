"""parse_number: exact where it reads, and silent where it would have to guess."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.verify.numeric import MAX_LENGTH, Quantity, decimal_comma, parse_number, read_quantity

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
        ("٣", 3),
        ("５", 5),
        ("5½", Fraction(11, 2)),
        ("3 and a half", Fraction(7, 2)),
        ("3 and 1/2", Fraction(7, 2)),
        ("3{\\frac12}", Fraction(7, 2)),
        ("(5)", 5),
        ("1 000", 1000),
        ("1\u202f234\u202f567", 1234567),
        ("1'234.5", Fraction(2469, 2)),
        ("1.234.567", 1234567),
        ("1.234,5", Fraction(2469, 2)),
        ("12,34,567", 1234567),
        ("11,\\! 111,\\! 100", 11111100),
        ("5 million", 5 * 10**6),
        ("5k", 5000),
        ("2 dozen", 24),
        ("3 quarters", Fraction(3, 4)),
        ("18 hundredths", Fraction(18, 100)),
        ("minus 5", -5),
        ("- $5", -5),
        ("US$5", 5),
        ("Rs. 1,250.50", Fraction(2501, 2)),
        ("12 dollars and 50 cents", Fraction(25, 2)),
        ("twenty-one", 21),
        ("five days", 5),
        ("\\approx 3.14", Fraction(157, 50)),
        ("about 7 cm", 7),
        ("1\\text{0}", 10),  # what stands in a text command is read
        ("7\\text{.5}", Fraction(15, 2)),
        ("1.5×10⁻³", Fraction(3, 2000)),
        ("30^\\circ", 30),
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
            "5²",
            "5^2",
            "5!",
            "--5",
        ),
        *("3, 4", "3,4", "12,34", "1,2345", "1 00", "3\\,4", "5 10/2", "1.2.3", "5:30", "5 - 2", "2+2", "2*2", "1 e5"),
        *("12 apples and 3 pears", "5 or six", "2x", "2 x", "5n", "2\\pi", "2pi", "\\sqrt{5}", "3 and a bit"),
        *(
            "half of 10",
            "5 splorks",
            "5 is wrong",
            "5 less",
            "5 ft 6 in",
            "negative: 5",
            "not: 5",
            "5%%",
            "5‰",
            "nan",
            "inf",
            "1e1001",
            "1e-1001",
            "1e999999999",
        ),
        "\\frac{1}{0}",
        "9" * (MAX_LENGTH + 1),
    ],
)
def test_what_is_not_one_number_is_none(text: str) -> None:
    assert parse_number(text) is None


def test_a_comma_marks_decimals_only_where_it_can_be_no_list() -> None:
    assert parse_number("3,14") is None  # two numbers
    assert decimal_comma("3,14") == Fraction(157, 50)
    assert decimal_comma("1234,5") == Fraction(2469, 2)
    assert decimal_comma("1,234") is None  # thousands
    assert decimal_comma("3, 14") is None
    assert decimal_comma("1,2,3") is None


def test_single_letters_are_units_in_word_problems_and_products_in_mathematics() -> None:
    assert read_quantity("5m") == read_quantity("5 m") == Quantity(Fraction(5), unit="m")
    assert read_quantity("5m", algebra=True) is read_quantity("5 n", algebra=True) is None
    assert read_quantity("5 A", algebra=True) == Quantity(Fraction(5), unit="A")
    assert read_quantity("5A", algebra=True) is None


def test_equality_is_exact() -> None:
    assert parse_number("0.333") != parse_number("1/3")
    assert parse_number("0.5") == parse_number("1/2") == parse_number("5e-1") == parse_number("2/4")
    assert parse_number("1e-99") != parse_number("1e-98")


@given(st.text())
def test_any_text_is_a_number_or_none(text: str) -> None:
    assert isinstance(parse_number(text), Fraction | None)
