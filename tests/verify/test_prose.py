"""Unmarked text: its last number is the value only if nothing beside it says otherwise."""

import pytest

from reasonenv.verify.prose import last_value

VALUES = {
    "It is 7": "7",
    "She has 7 apples left.": "7",
    "That makes 3 + 4 = 7 dollars": "7",
    "so <<3+4=7>>7 eggs": "7",
    "a total of 7": "7",
    "It costs $7.50.": "$7.50",
    "- 7": "7",
    "### 7": "7",
    "7 :)": "7",
    "It is minus 7": "minus 7",
    "it is - 7": "- 7",
    "1 million": "1 million",
    "It is 3 and a half": "3 and a half",
    "0.5 %": "0.5 %",
    "10 000 people": "10 000",
    "1.234.567": "1.234.567",
    "12 dollars and 50 cents": "12 dollars and 50 cents",
    "So it is $\\sqrt{2}$.": r"\sqrt{2}",
    "Therefore $x = 7$.": "7",
    "$9 \\times 2 = 18$": "18",
    "The total is 73 (60 + 13).": "73",
    "one half": "one half",
    "x^2 + 1": "x^2 + 1",
}
NO_VALUES = """
It is 5 or 7
It is 5, 6, 7
not 7
It cannot be 7.
It is no longer 7
less than 7
at least 7
between 2 and 7
up to 7
It is half of 7
It is twice 7
a multiple of 7
7 is wrong
7 or more
It is 7 below
the point (2, 7)
See equation (7).
By Theorem 7 it holds
Step 7:
It is 2 : 7.
It is 2 by 7
It is 2 x 7
x + 3 = 60 holds
May 7
See log 7
So it is 3x
It is 12/25/2024
It is 7 hours and 5 minutes
the matrix \\begin{pmatrix}1 & 0\\end{pmatrix}
So x \\ge 7
It is the 7th
"""


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_a_value_is_read_with_what_belongs_to_it(text: str, value: str) -> None:
    assert last_value(text) == value


@pytest.mark.parametrize("text", NO_VALUES.strip().splitlines())
def test_what_bounds_denies_or_divides_a_number_makes_it_no_value(text: str) -> None:
    assert last_value(text) is None
