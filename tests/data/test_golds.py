"""The golds of a user's problems: the kind that suits them is chosen once, and none is taken that nobody can meet."""

from __future__ import annotations

from typing import Any

import pytest

from reasonenv import Problem, UserError, from_problems
from reasonenv.data.golds import kind_of, marked_answer

CHOICES = "Which one?\n(A) a cat (B) a dog (C) a cow"


def kind(*golds: str, question: str = "?") -> str:
    return kind_of([("here", Problem(str(i), question, gold)) for i, gold in enumerate(golds)])


@pytest.mark.parametrize(
    ("golds", "question", "expected"),
    [
        (("1", "2.5", "1,234", "1/2", "$5"), "?", "numeric"),
        (("A", "C", "b"), CHOICES, "choice"),
        (("(A)", "(B) a dog"), CHOICES, "choice"),
        (("A", "C"), "Which one? A. cat B. dog C. cow", "choice"),
        (("A", "D"), CHOICES, "text"),  # no such choice
        (("A", "C"), "Which blood group is rarer?", "text"),
        (("A", "7"), CHOICES, "math"),
        (("Yes", "No"), "?", "text"),
        (("Paris", "New York", "N/A", "and/or", "O'Neill", "twenty-one"), "?", "text"),
        (("巴黎", "是"), "?", "text"),
        (("True", "None"), "?", "text"),
        ((r"\sqrt{2}", "2"), "?", "math"),
        (("x", "2x", "x^2"), "?", "math"),
        (("y=2x",), "?", "math"),
        (("1, 2",), "?", "math"),
        (("sin x", "pi"), "?", "math"),
        (("3:1", "12"), "?", "math"),
        (("42", "Paris"), "?", "math"),
    ],
)
def test_the_kind_follows_from_the_golds(golds: tuple[str, ...], question: str, expected: str) -> None:
    assert kind(*golds, question=question) == expected
    assert kind(*reversed(golds), question=question) == expected


@pytest.mark.parametrize("missing", ["NaN", "nan", "N/A", "null", "None", "<NA>", "-", "inf"])
@pytest.mark.parametrize("others", [("1", "2"), (r"\sqrt{2}",), ("A", "B")])
def test_a_missing_value_among_values_is_refused(missing: str, others: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=f"here: the answer '{missing}' is a missing value; leave the problem out"):
        kind(*others, missing, question=CHOICES)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("1+1=2\n#### 2", "2"),
        (r"\boxed{2}", "2"),
        (r"So it is $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"\fbox{2}", "2"),
        (r"$\boxed 5$", "5"),
        (r"First \boxed{1}, then #### 2", "2"),
        ("2", None),
        ("#### ", None),
        ("The answer is blowing in the wind", None),
    ],
)
def test_a_gold_with_a_mark_is_what_the_mark_holds(gold: str, answer: str | None) -> None:
    assert marked_answer(gold) == answer
    if answer is not None:
        (problem,) = from_problems([("a?", gold), ("b?", "3")], test=0.5)(split="train").problems
        (other,) = from_problems([("a?", gold), ("b?", "3")], test=0.5)(split="test").problems
        assert answer in (problem.answer, other.answer)


def make(*golds: str, **settings: Any) -> Any:
    return from_problems([(f"{i}?", gold) for i, gold in enumerate(golds)], test=0.5, **settings)


def test_a_gold_that_nobody_can_meet_is_refused_when_the_task_is_made() -> None:
    with pytest.raises(UserError) as error:
        make("1", "some", "many", "some", verifier="numeric")
    assert str(error.value) == (
        "problem 1: the answer 'some' is unparsable_gold by verifier='numeric', as are 1 others; "
        "mend it, give verifier='text' for words, or one that can read it"
    )
    with pytest.raises(UserError, match=r"problem 0: the answer '2x.n\+' is \w+ by verifier='math'"):
        make("2x\n+", "2", verifier="math")  # an answer line has one line
    with pytest.raises(UserError, match="problem 1: the answer '42' is unparsable_gold by verifier='choice'"):
        make("A", "42", verifier="choice")


def test_golds_for_a_verifier_of_the_user_are_left_as_they_are() -> None:
    task = make("#### 1", "nan", verifier="code")
    assert {p.answer for split in ("train", "test") for p in task(split=split).problems} == {"#### 1", "nan"}


def test_yes_and_no_are_answers() -> None:
    task = make("Yes", "No", "yes", "no")
    for split in ("train", "test"):
        for problem in task(split=split).problems:
            assert task(split=split).judge(f"The answer is {problem.answer.upper()}.", problem).correct
            other = "no" if problem.answer.lower() == "yes" else "yes"
            assert not task(split=split).judge(f"The answer is {other}.", problem).correct
