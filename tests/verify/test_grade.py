"""grade: right, wrong, and the four ways in which neither can be said, are different verdicts."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.errors import UserError
from reasonenv.verify.grade import grade, verify_math


@pytest.mark.parametrize(
    ("text", "gold", "reason", "extracted"),
    [
        ("#### 18", "18", Reason.CORRECT, "18"),
        ("#### $18.00", "18", Reason.CORRECT, "$18.00"),
        (r"The answer is \$18.00.", "$18$", Reason.CORRECT, r"\$18.00"),
        ("#### 0.5", "1/2", Reason.CORRECT, "0.5"),
        ("#### 1080", "1,080", Reason.CORRECT, "1080"),
        ("#### 17", "18", Reason.WRONG, "17"),
        ("#### 0.333", "1/3", Reason.WRONG, "0.333"),
        ("I give up.", "18", Reason.NO_ANSWER, None),
        ("", "18", Reason.NO_ANSWER, None),
        ("#### eighteen", "18", Reason.CORRECT, "eighteen"),
        ("#### umpteen", "18", Reason.UNPARSABLE_ANSWER, "umpteen"),
        ("#### 17, 18, 19", "18", Reason.UNPARSABLE_ANSWER, "17, 18, 19"),  # spraying
        (r"\boxed{17 or 18}", "18", Reason.UNPARSABLE_ANSWER, "17 or 18"),
        ("The answer is 18 or 19.", "18", Reason.UNPARSABLE_ANSWER, "18 or 19"),
        ("#### 18", "eighteen", Reason.CORRECT, "18"),
        ("#### 18", "N/A", Reason.UNPARSABLE_GOLD, "18"),
        ("#### 18", "umpteen", Reason.WRONG, "18"),  # a word, and nothing else is equal to it
        ("#### Umpteen.", "umpteen", Reason.CORRECT, "Umpteen."),
        (r"\boxed{7}", r"\boxed{7}", Reason.CORRECT, "7"),
        ("I give up.", "", Reason.UNPARSABLE_GOLD, None),
    ],
)
def test_the_reason_says_what_happened(text: str, gold: str, reason: Reason, extracted: str | None) -> None:
    verdict = grade(text, gold)
    assert replace(verdict, canonical=None) == Verdict(reason, extracted, gold)
    assert verdict.millis > 0


def test_the_policy_decides_whether_an_unmarked_number_is_an_answer() -> None:
    assert grade("It is 18", "18").correct
    assert grade("It is 18", "18", extract="marked").reason is Reason.NO_ANSWER


@given(st.fractions(), st.fractions())
def test_correct_is_equality_of_rationals(a: Fraction, b: Fraction) -> None:
    assert grade(f"#### {a}", str(b)).correct == (a == b)


def test_unknown_names_are_user_errors() -> None:
    with pytest.raises(UserError, match="unknown kind 'maths'; did you mean math"):
        grade("5", "5", kind="maths")
    with pytest.raises(UserError, match="unknown extract policy"):
        grade("5", "5", extract="first")


def test_verify_math_grades_against_the_problem_from_any_thread() -> None:
    problems = [Problem(str(i), "", str(i)) for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda problem: verify_math(f"#### {problem.id}", problem), problems))
    assert all(verdict.correct for verdict in verdicts)
    assert [verdict.gold for verdict in verdicts] == [problem.answer for problem in problems]
