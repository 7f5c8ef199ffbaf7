"""Multiple choice: one letter however it is written, and nothing where there are two."""

from __future__ import annotations

import pytest

from reasonenv.core import Reason
from reasonenv.verify.choice import compare_choice, find_choice, read_choice
from reasonenv.verify.grade import grade

COLOURS = ("red", "green", "deep blue")


@pytest.mark.parametrize(
    "text",
    [
        *("B", "(B)", "B.", "b)", "[B]", "**B**", "$B$", r"\boxed{B}", r"\boxed{\text{(B)}}", r"\boxed{\textbf{B}}"),
        *(
            "#### B",
            "The answer is B.",
            "the final answer is (B).",
            "Answer: B",
            "**Answer:** B",
            "Option B",
            "choice (b)",
        ),
        *(
            "It is not A.\nThe answer is B",
            "A looks right, but no.\n\n(B)",
            "The correct option is (B)",
            "B) because it is",
        ),
    ],
)
def test_one_letter_in_many_dresses(text: str) -> None:
    assert grade(text, "B", kind="choice").reason is Reason.CORRECT
    assert grade(text, "C", kind="choice").reason is Reason.WRONG
    assert grade(text, "(B) green", kind="choice").correct


@pytest.mark.parametrize(
    "text", ["A or B", "A, B", r"\boxed{A, B, C}", "(A) and (B)", "A/B", "#### B or C", "a dog", "AB", "7"]
)
def test_several_letters_and_mere_words_are_no_choice(text: str) -> None:
    for gold in "ABC":
        assert grade(text, gold, kind="choice").reason is Reason.UNPARSABLE_ANSWER


def test_nothing_is_no_answer_and_a_bad_gold_is_said() -> None:
    assert grade(" \n", "B", kind="choice").reason is Reason.NO_ANSWER
    assert grade("B", "maybe", kind="choice").reason is Reason.UNPARSABLE_GOLD
    assert compare_choice("B", "D", COLOURS) is Reason.UNPARSABLE_GOLD


def test_the_text_of_a_choice_is_its_letter() -> None:
    assert read_choice("Deep blue.", COLOURS) == "C"
    assert read_choice("(C) deep blue", COLOURS) == read_choice("C deep blue", COLOURS) == "C"
    assert read_choice("(A) deep blue", COLOURS) is None  # the letter of one and the text of another
    assert read_choice("D", COLOURS) is None
    assert read_choice("yellow", COLOURS) is None
    assert compare_choice("deep  blue", "C", COLOURS) is compare_choice("C", "deep blue", COLOURS) is Reason.CORRECT
    assert grade("The answer is green.", "(B) green", kind="choice").correct


def test_a_text_that_two_choices_share_names_neither() -> None:
    assert read_choice("red", ("red", "Red")) is None


def test_a_megabyte_is_read_in_one_pass() -> None:
    for text in ("(" * 10**6, "answer is " * 10**5, "B " * 10**6, "A\n" * 10**6 + "B"):
        find_choice(text)
        assert not grade(text, "C", kind="choice").correct
