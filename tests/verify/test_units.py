"""Closed lists: what is on them is dropped or multiplied, and a word that is on none is no unit."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.verify.units import SCALES, SYMBOLS, in_words, is_unit, unit_of

UNITS = (
    "dollars, km/h, m/s^2, sq. cm, square feet, US dollars, people, apple, years old, kg m^{-3}, °C, '', cubic inches"
)
NO_UNITS = (
    "splorks, is wrong, less, more, dozen, k, hundredths, half, and, of, per, not, quarters, or six, squared, x, pi"
)


@pytest.mark.parametrize("phrase", UNITS.split(", "))
def test_measures_and_counted_things_are_units(phrase: str) -> None:
    assert is_unit(phrase)


@pytest.mark.parametrize("phrase", NO_UNITS.split(", "))
def test_everything_else_is_none(phrase: str) -> None:
    assert not is_unit(phrase)


@given(st.sampled_from(sorted(SCALES)), st.sampled_from(["apples", "dollars", "cm", ""]))
def test_no_scale_is_ever_part_of_a_unit(scale: str, unit: str) -> None:
    assert not is_unit(f"{scale} {unit}")


def test_single_letters_depend_on_where_they_stand() -> None:
    assert is_unit("m")
    assert not is_unit("n")
    assert not is_unit("m", frozenset())
    assert is_unit("K", SYMBOLS)
    assert not is_unit("K")


def test_spellings_of_one_unit_are_one() -> None:
    assert unit_of("Dollars") == unit_of("dollar")
    assert unit_of("sq. feet") != unit_of("feet")


# Written by hand; the oracle below checks all numbers up to 9,999.
@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("zero", 0),
        ("twenty-one", 21),
        ("a dozen", 12),
        ("nineteen hundred", 1900),
        ("two hundred and five", 205),
        ("three million forty", 3_000_040),
        ("half", Fraction(1, 2)),
        ("three quarters", Fraction(3, 4)),
        ("three-fourths", Fraction(3, 4)),
    ],
)
def test_numbers_in_words(words: str, value: Fraction) -> None:
    assert in_words(words) == value


@pytest.mark.parametrize(
    "words", ["", "a", "two three", "ten five", "twenty twelve", "five and", "zero five", "umpteen"]
)
def test_words_that_are_no_number(words: str) -> None:
    assert in_words(words) is None


ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
ONES += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def spoken(n: int) -> str:
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f"-{ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{ONES[n // 100]} hundred" + (f" {spoken(n % 100)}" if n % 100 else "")
    return f"{spoken(n // 1000)} thousand" + (f" {spoken(n % 1000)}" if n % 1000 else "")


@given(st.integers(0, 999_999))
def test_every_number_is_heard_as_it_is_spoken(n: int) -> None:
    assert in_words(spoken(n)) == n
