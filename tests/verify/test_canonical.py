"""One meaning of "these two answers are the same": what `grade` calls equal votes together, and nothing else does."""

from __future__ import annotations

import os
import signal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonenv.agents.majority import Majority
from reasonenv.core import Problem, Reason, Verdict
from reasonenv.envs.arc import verify_choice
from reasonenv.envs.countdown import countdown, verify_countdown
from reasonenv.measures.metrics import maj_at_k
from reasonenv.verify.algebra.normal_form import normal_form
from reasonenv.verify.audit import attacks, corpus
from reasonenv.verify.canonical import MAX_FORM, canonical
from reasonenv.verify.grade import grade, grade_many
from reasonenv.verify.pool import shared
from reasonenv.verify.sandbox.unit_tests import UnitTests, verify_code

BOXED = [trial for trial in corpus() if trial.kind == "math" and trial.answer is not None]
ELSEWHERE = r"\text{neither of the two}"  # a gold that no pair of the corpus is equal to, and that can be compared


def boxed(answer: str) -> str:
    return rf"\boxed{{{answer}}}"


def form(answer: str, gold: str = ELSEWHERE, kind: str = "math") -> str | None:
    return grade(boxed(answer), gold, kind, extract="marked").canonical


TRIALS = [trial for trial in corpus() if trial.kind == "math" and trial.answer is not None]
# Unequal pairs that have one form: named values, points and sets (x = 2 and y = 2 are both 2), percentages and units,
# which have the form of their number, and differences behind the 60th digit.
ONE_FORM = {"equation", "functions", "interval", "percent", "point", "units", "thousands", "huge"}


def test_an_answer_has_the_form_of_the_gold_exactly_if_it_is_right() -> None:
    verdicts = grade_many([t.text for t in TRIALS], [t.gold for t in TRIALS])
    golds = grade_many([boxed(t.gold) for t in TRIALS], [t.gold for t in TRIALS])
    joined = [v.canonical == g.canonical for v, g in zip(verdicts, golds, strict=True)]
    assert joined == [v.correct for v in verdicts]
    assert sum(joined) > 1_500


def test_wrong_answers_that_are_equal_vote_together_too() -> None:
    texts = [text for t in TRIALS for text in (t.text, boxed(t.gold))]
    verdicts = grade_many(texts, [ELSEWHERE] * len(texts))
    assert {verdict.reason for verdict in verdicts} == {Reason.WRONG}
    pairs = list(pairwise(verdict.canonical for verdict in verdicts))[::2]
    together = [a == b for trial, (a, b) in zip(TRIALS, pairs, strict=True) if trial.right]
    assert sum(together) >= 0.95 * len(together)  # no form can be right on y = 2x, 2x and y - 2x = 0
    apart = [trial for trial, (a, b) in zip(TRIALS, pairs, strict=True) if a == b and not trial.right]
    assert {trial.category for trial in apart} <= ONE_FORM
    assert len(apart) <= 0.02 * len(TRIALS)


def test_no_attack_gets_the_form_of_the_gold() -> None:
    trials = attacks()
    verdicts = grade_many([t.text for t in trials], [t.gold for t in trials])
    for trial, verdict in zip(trials, verdicts, strict=True):
        assert verdict.canonical is None or verdict.canonical != form(trial.gold, trial.gold), trial.text[:80]


# Values with several ways to write each. The oracle is the grader alone: it says which two are equal.
WHOLE = st.integers(-30, 30)
NUMBERS = st.builds(Fraction, WHOLE, st.integers(1, 8))
NUMBER_STYLES = (
    lambda x: str(x),
    lambda x: rf"\frac{{{x.numerator}}}{{{x.denominator}}}",
    lambda x: rf"x = {x}",
    lambda x: rf"{x} \text{{ cm}}",
    lambda x: rf"${2 * x.numerator}/{2 * x.denominator}$",
)
EXPRESSIONS = (
    (r"{a}\sqrt{{{b}}}", r"\sqrt{{{b}}} \cdot {a}", r"\frac{{{a}\cdot {b}}}{{\sqrt{{{b}}}}}"),
    (r"{a}x+{b}", r"{b}+{a}x", r"{a}(x+\frac{{{b}}}{{{a}}})"),
    (r"(x+{a})(x-{b})", r"x^2+{a}x-{b}x-{a}\cdot {b}"),
    (r"({a},{b}]", r"{a} < x \le {b}", r"({a}.0, {b}]"),
    (r"\{{{a},{b}\}}", r"{b}, {a}", r"x={a} or x={b}"),
    (r"y={a}x+{b}", r"2y-2\cdot {a}x=2\cdot {b}"),
    (r"{a}\sin^2 x+{a}\cos^2 x", r"{a}"),
    (r"\ln {b}^{a}", r"{a}\ln {b}"),
)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str]:
    """Two answers that are often, but not always, equal."""
    if draw(st.booleans()):
        value = draw(NUMBERS)
        other = draw(st.sampled_from([value, value, -value, value + 1]))
        return draw(st.sampled_from(NUMBER_STYLES))(value), draw(st.sampled_from(NUMBER_STYLES))(other)
    styles, a, b = draw(st.sampled_from(EXPRESSIONS)), draw(st.integers(2, 5)), draw(st.integers(6, 9))
    shift = draw(st.sampled_from([0, 0, 1]))
    one, other = draw(st.sampled_from(styles)), draw(st.sampled_from(styles))
    return one.format(a=a, b=b), other.format(a=a + shift, b=b)


@settings(deadline=None, max_examples=200)
@given(written())
def test_two_answers_are_one_vote_exactly_if_the_grader_calls_them_equal(pair: tuple[str, str]) -> None:
    one, other = pair
    verdict = grade(boxed(one), other, extract="marked")
    assert verdict.reason is not Reason.ERROR
    assert (form(one) == form(other)) == verdict.correct
    assert (verdict.canonical == form(other, other)) == verdict.correct


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("math", "18", "18 dollars"),
        ("math", "18", "$18$"),
        ("math", "18", "x = 18"),
        ("math", "18", "18%"),
        ("math", "18", "1.8e1"),
        ("math", "1/2", r"\frac{1}{2}"),
        ("math", r"\frac12", r"\frac{1}{2}"),
        ("math", r"\dfrac{1}{2}", "0.5"),
        ("math", "1250", "1{,}250"),
        ("math", r"\sqrt{2}", r"\sqrt2"),
        ("math", "(1,2)", "(1, 2)"),
        ("math", r"\log(x^2)", r"2\log(x)"),
        ("math", r"2\ln x", r"\ln x^2"),
        ("math", r"\ln|x|", r"\ln x"),
        ("math", r"e^{\ln x}", "x"),
        ("math", "B", r"\text{(B)}"),
        ("math", "(B)", r"\text{(B)}"),
        ("choice", "B", "(B)"),
        ("choice", "B", "B."),
        ("choice", "B", "b"),
    ],
)
def test_answers_that_are_graded_alike_vote_alike(kind: str, one: str, other: str) -> None:
    gold = "C" if kind == "choice" else "7"
    assert grade(boxed(one), other, kind).correct
    assert form(one, gold, kind) == form(other, gold, kind) is not None


@pytest.mark.parametrize(
    ("answers", "gold"),
    [
        (("5 dollars", "5 apples", "5", "7", "7"), "5"),  # three of five say 5
        (("18 dollars", "18", "18.00 dollars", "20", "20"), "18"),  # three of five say 18
    ],
)
def test_a_majority_of_one_value_in_several_dresses_wins(answers: tuple[str, ...], gold: str) -> None:
    verdicts = [grade(boxed(answer), gold) for answer in answers]
    assert maj_at_k([v.canonical for v in verdicts], [v.correct for v in verdicts], 5) == 1.0
    assert Majority.choose(verdicts) == 0
    two_sevens_first = [*verdicts[3:], *verdicts[:3]]
    assert Majority.choose(two_sevens_first) == 2


def test_wrong_answers_in_several_dresses_win_as_well() -> None:
    # 7 three times against the right 5 twice: what the verifier calls equal is one vote even where it is wrong
    verdicts = [grade(boxed(answer), "5") for answer in ("5", "5.0", "7 cm", r"\frac{14}{2}", "7")]
    assert maj_at_k([v.canonical for v in verdicts], [v.correct for v in verdicts], 5) == 0.0


def test_forms_are_short_and_do_not_collide_between_kinds() -> None:
    assert form("1.5") == form(r"\frac{3}{2}") == "3/2"
    assert form("(b)", "C", "choice") == "B"
    texts = ["9" * 399, "9" * 398 + "8", "5000!", "4999!", r"\text{" + "word " * 100 + "}", "3/2 or so", "B"]
    forms = [form(text) for text in texts]
    assert len(set(forms)) == len(texts)
    assert all(text is not None and len(text) <= MAX_FORM + 25 for text in forms)


def test_nothing_is_no_vote() -> None:
    assert grade("I give up.", "5").canonical is None
    assert canonical(Reason.WRONG, "  ", "5") is None


def test_a_form_that_is_not_made_in_time_is_the_text_and_is_tried_again() -> None:
    right = form(r"1+5\sqrt{3}")
    for worker in list(shared()._all):
        os.kill(worker._process.pid, signal.SIGSTOP)  # it hangs
    text = canonical(Reason.WRONG, r"\sqrt{75}  + 1", ELSEWHERE, "math", timeout=0.1)
    assert text == r"text:\sqrt{75} + 1"
    shared().close()  # the others that hang
    assert canonical(Reason.WRONG, r"\sqrt{75}  + 1", ELSEWHERE, "math") == right


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"|x-5|", "5-x"),  # equal wherever x < 5
        (r"\sqrt{x^2}", "x"),
        (r"x+10^{-40}", "x"),
        (r"e^{\pi\sqrt{163}}", "262537412640768744"),  # 0.75e-12 apart
        (r"9^{9^9}", "9^{9^9}+1"),  # alike in the first 300 million digits
        ("x^2<y", "x^2>y"),
        (r"e^{ix}", r"e^{-ix}"),
        (r"\ln x", r"\ln |x|+\frac{1}{10}"),
    ],
)
def test_what_is_nearly_equal_is_not_one(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


def test_where_many_answers_are_right_two_right_ones_are_not_the_same() -> None:
    problem = Problem("p", "", "(6-4)*5", (), {"numbers": [4, 5, 6], "target": 10, "use_all": True})
    texts = ("#### 5*(6-4)", r"#### 5 \times (6 - 4) = 10", "#### (6-4)*5", "#### 4+6")
    verdicts = [verify_countdown(text, problem) for text in texts]
    assert [v.correct for v in verdicts] == [True, True, True, False]
    assert verdicts[0].canonical == verdicts[1].canonical
    assert len({v.canonical for v in verdicts}) == 3
    for problem in countdown(size=5).problems:
        assert verify_countdown(f"#### {problem.answer}", problem).canonical == f"text:{problem.answer}"


def test_programs_are_the_same_up_to_white_space_that_means_nothing() -> None:
    problem = Problem("p", "", "", (), {"tests": UnitTests(("assert f(1) == 2",))})
    programs = (
        "def f(x):\n    return x + 1",
        "\ndef f(x):  \n\n    return x + 1\n",
        "def f(x):\n    return 1 + x",
    )
    plain, spaced, other = (verify_code(f"```python\n{code}\n```", problem).canonical for code in programs)
    assert plain == spaced != other


def test_a_choice_by_its_text_is_a_vote_for_its_letter() -> None:
    problem = Problem("p", "", "A", (), {"choices": ("ice", "iron", "salt")})
    votes: list[Verdict] = [verify_choice(f"#### {text}", problem) for text in ("iron", "B", "(b) iron", "ice", "A.")]
    assert [v.canonical for v in votes] == ["B", "B", "B", "A", "A"]
