"""Countdown: every problem can be solved, only solutions are accepted, and no text is ever executed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonenv.core import Problem, Reason
from reasonenv.envs.countdown import countdown, evaluate, verify_countdown
from reasonenv.errors import UserError
from reasonenv.tasks import reference_solution

SUM = Problem("c", "?", "7*(25-3)", (), {"numbers": [3, 7, 25], "target": 154, "use_all": True})
SOME = Problem("c", "?", "3+7", (), {"numbers": [3, 7, 25], "target": 10, "use_all": False})


@settings(max_examples=25, deadline=None)
@given(
    split=st.sampled_from(["train", "test"]),
    seed=st.integers(0, 2**40),
    numbers=st.integers(2, 6),
    use_all=st.booleans(),
)
def test_every_gold_verifies_follows_from_its_steps_and_fits(
    split: str, seed: int, numbers: int, use_all: bool
) -> None:
    task = countdown(split=split, size=3, seed=seed, numbers=numbers, use_all=use_all)
    for problem in task.problems:
        assert task.judge(reference_solution(problem), problem).correct
        assert len(reference_solution(problem)) < task.max_tokens  # one token a character, and EOS
        for step in problem.steps:
            left, right = step.split("=")
            read = evaluate(left)
            assert read is not None
            assert read[0] == int(right) > 0
        assert problem.steps[-1].endswith(f"={problem.meta['target']}")


@pytest.mark.parametrize(
    ("answer", "problem", "reason"),
    [
        ("7*(25-3)", SUM, Reason.CORRECT),
        ("(25 - 3) \\times 7 = 154", SUM, Reason.CORRECT),
        ("$7 × (25 − 3)$", SUM, Reason.CORRECT),
        ("25*7-3*7", SUM, Reason.WRONG),  # 154, but with 7 twice
        ("154", SUM, Reason.WRONG),  # not one of the numbers
        ("7*25-3", SUM, Reason.WRONG),  # 172
        ("3+7", SOME, Reason.CORRECT),
        ("3+7+0*25", SOME, Reason.WRONG),
        ("7*(25-3", SUM, Reason.UNPARSABLE_ANSWER),
        ("7 25 3", SUM, Reason.UNPARSABLE_ANSWER),
        ("9**9**9**9", SUM, Reason.UNPARSABLE_ANSWER),
        ("7/(3-3)", SUM, Reason.UNPARSABLE_ANSWER),
        ("__import__('os').getcwd()", SUM, Reason.UNPARSABLE_ANSWER),
        ("(" * 5000, SUM, Reason.UNPARSABLE_ANSWER),
        ("٣+7", SUM, Reason.UNPARSABLE_ANSWER),
        ("", SUM, Reason.NO_ANSWER),
    ],
)
def test_verdicts(answer: str, problem: Problem, reason: Reason) -> None:
    assert verify_countdown(f"25-3=22\n#### {answer}", problem).reason is reason


@settings(max_examples=100, deadline=None)
@given(tree=st.recursive(st.integers(0, 99), lambda t: st.tuples(t, st.sampled_from("+-*/"), t), max_leaves=6))
def test_the_grammar_agrees_with_rational_arithmetic(tree: Any) -> None:
    def built(node: Any) -> tuple[str, Fraction | None, list[int]]:
        if isinstance(node, int):
            return str(node), Fraction(node), [node]
        (left, x, a), (right, y, b) = built(node[0]), built(node[2])
        value = None
        if x is not None and y is not None and not (node[1] == "/" and y == 0):
            value = {"+": x + y, "-": x - y, "*": x * y, "/": x / y if y else None}[node[1]]
        return f"({left} {node[1]} {right})", value, a + b

    text, value, numbers = built(tree)
    assert evaluate(text) == (None if value is None else (value, numbers))


def test_a_problem_is_a_function_of_seed_split_and_index() -> None:
    short, long = countdown(size=3, seed=3), countdown(size=40, seed=3)
    assert list(short.problems) == list(long.problems[:3])
    assert countdown(size=3, seed=4).problems[0] != short.problems[0]


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"numbers": 1}, "numbers is 1; it must be 2 to 6"),
        ({"largest": 9}, "largest is 9; it must be 10 to 10000"),
        ({"target": 0}, "target is 0"),
        ({"size": 0}, "size is 0"),
        ({"split": "tran"}, "did you mean train"),
    ],
)
def test_knobs_out_of_range_are_user_errors(knobs: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        countdown(**knobs)
