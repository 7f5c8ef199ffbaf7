"""What counts as the same solution, and which samples are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reasonenv.learn.filters import correct, nonconstant
from reasonenv.verify.solution_path import operations


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7+5=12\n12*3=36\n#### 36", "So 7 + 5 = 12, and then\n  12 * 3 = 36. The answer is 36"),
        ("48/2 = <<48/2=24>>24 clips", "48/2=24"),
        ("$1,200 * 2 = $2,400", "1200*2=2400"),
        ("10% of it", "10%   OF it"),
        ("0.50*4=2.0", ".5*4=2"),
        ("1. 7+5=12\n2. 12*3=36", "7+5=12\n12*3=36"),
        ("7+5=12, 12*3=36", "7+5=12\n12*3=36"),
        ("She has 7\n7+5=12", "7+5=12"),
    ],
)
def test_wording_spaces_and_ways_to_write_a_number_do_not_make_a_new_solution(one: str, other: str) -> None:
    assert operations(one) == operations(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7+5=12\n2*3=6", "2*3=6\n7+5=12"),  # the order of operations is the path
        ("7+5=12", "5+7=12"),
        ("7+5=12", "7+5=13"),
        ("7-5=2", "7+5=12"),
        ("(1+2)*3=9", "1+2*3=9"),
        ("it is twelve", "it is thirteen"),
    ],
)
def test_another_order_operand_operator_or_result_is_another_solution(one: str, other: str) -> None:
    assert operations(one) != operations(other)


def test_the_key_is_the_equations_in_their_order() -> None:
    assert operations("Add: 7 + 5 = 12.\nThen 12*3 = $36.00!") == ("7+5=12", "12*3=36")
    assert operations("x = 3") == ("x = 3",)  # nothing is computed here, so the words decide
    assert operations("") == ("",)


def test_correct_keeps_what_was_verified(groups) -> None:
    assert [len(correct(g.trajectories)) for g in groups] == [2, 1, 4]


def test_mixed_looks_at_the_verdict_and_not_at_the_reward(groups) -> None:
    assert nonconstant(groups) == groups[:2]
    shaped = [replace(t, rewards=t.rewards + i) for i, t in enumerate(groups[2].trajectories)]
    assert nonconstant([replace(groups[2], trajectories=tuple(shaped))]) == []
