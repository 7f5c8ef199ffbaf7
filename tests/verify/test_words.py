"""Answers in words are equal in any case and dress, and mathematics is never taken for words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.core import Problem
from reasonenv.verify.grade import VERIFIERS, grade
from reasonenv.verify.words import find_words, is_words, normalize, same_text


@pytest.mark.parametrize(
    "answer", ["yes", "Yes.", "**YES**", r"\text{yes}", r"\boxed{\textbf{Yes}}", "`yes`!", "The answer is yes."]
)
def test_case_and_dress_do_not_count(answer: str) -> None:
    assert grade(answer, "yes", "text").correct


@pytest.mark.parametrize("answer", ["no", "not yes", "yes or no", "yesterday", ""])
def test_other_words_do(answer: str) -> None:
    assert not grade(answer, "yes", "text").correct


def test_aliases_are_right_too() -> None:
    problem = Problem("1", "Capital of the US?", "Washington, D.C.", meta={"aliases": ("Washington", "Washington DC")})
    verify = VERIFIERS.find("text")
    assert verify("It is far.\nWashington", problem).correct
    assert verify("washington dc", problem).correct
    assert not verify("Seattle", problem).correct
    # all right answers have one form, so that votes agree with verdicts
    assert verify("Washington", problem).canonical == verify("Washington, D.C.", problem).canonical


def test_the_last_mark_or_line_is_the_answer_without_its_remark() -> None:
    assert find_words("Let us see.\nBlue, because the sky is.") == "Blue"
    assert find_words("The answer is Blue.\nThat was easy") == "Blue"
    assert find_words("") is None


@pytest.mark.parametrize("gold", [r"\text{Evelyn}", "yes", "June 20", "New York", "east"])
def test_words_are_told_from_mathematics(gold: str) -> None:
    assert is_words(gold)
    assert grade(rf"\boxed{{{gold.title().replace('Text', 'text')}}}", gold).correct
    assert not grade(r"\boxed{5}", gold).correct


@pytest.mark.parametrize("gold", ["x", "2x", "sin x", r"\sqrt{2}", "12", "(1, 2)", r"\text{a}+b", "pi", "ab"])
def test_mathematics_is_no_words(gold: str) -> None:
    assert not is_words(gold)


@given(st.text(max_size=40))
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


def test_the_same_text_is_equal_only_if_no_value_changes() -> None:
    assert same_text(r"\text{(B)}", "(B)")
    assert not same_text("1 2", "12")
    assert not same_text(r"\frac{1}{2x^2}", r"\frac{1}{2}x^2")
    assert not same_text("", "")
