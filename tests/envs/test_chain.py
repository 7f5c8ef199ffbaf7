"""Chain: honest arithmetic, a pure function of its knobs, with splits that cannot meet."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonenv.envs.chain import chain
from reasonenv.errors import UserError
from reasonenv.tasks import reference_solution
from reasonenv.verify.extract import step_value

KNOBS = st.fixed_dictionaries(
    {
        "split": st.sampled_from(["train", "test"]),
        "seed": st.integers(0, 2**40),
        "operands": st.integers(2, 12),
        "digits": st.integers(1, 6),
        "operators": st.sets(st.sampled_from("+-*"), min_size=1).map("".join),
    }
)


@settings(max_examples=60, deadline=None)
@given(knobs=KNOBS, index=st.integers(0, 999))
def test_every_gold_verifies_fits_the_budget_and_follows_from_its_steps(knobs: dict[str, Any], index: int) -> None:
    task = chain(**knobs)
    problem = task.problems[:1000][index % 8]  # the smallest test split has 8 questions
    assert task.judge(reference_solution(problem), problem).correct
    assert len(reference_solution(problem).encode()) + 1 <= task.max_tokens  # one token a byte, and EOS
    assert len(problem.steps) == knobs["operands"] - 1
    # The rules of arithmetic, precedence included, give what the steps give from left to right.
    assert eval(problem.question.removesuffix("=?")) == int(problem.answer)
    for step, after in zip(problem.steps, (*problem.steps[1:], f"{problem.answer} "), strict=True):
        left, right = step.split("=")
        assert eval(left) == int(right) == step_value(step)
        assert after.startswith(right)  # each step goes on from the value of the last


def test_the_budget_is_reached_and_not_only_kept() -> None:
    # "9*9=81\n#### 81" is 14 characters, and EOS; 15 is also the bound for products of two digits
    task = chain(operands=2, digits=1, operators="*")
    assert max(len(reference_solution(p)) for p in task.problems) + 1 == task.max_tokens == 15


def test_a_problem_is_a_function_of_seed_split_and_index_alone() -> None:
    short, long = chain(size=5, seed=3), chain(size=500, seed=3)
    assert list(short.problems) == [long.problems[i] for i in range(5)] == list(long.problems[:5])
    assert long.problems[-1] == long.problems[499]
    assert chain(size=5, seed=4).problems[0].question != short.problems[0].question
    assert chain(size=5, operators="*-+").fingerprint == chain(size=5, operators="+-*").fingerprint
    with pytest.raises(IndexError):
        short.problems[5]


def test_default_sizes_are_as_many_questions_as_there_are_up_to_a_bound() -> None:
    large = [len(chain(split=split, operands=5).problems) for split in ("train", "test")]
    assert large == [10_000, 1_000]
    small = [len(chain(split=split).problems) for split in ("train", "test")]
    assert sum(small) == 9**3 * 3**2


@pytest.mark.parametrize(
    ("knobs", "complaint"),
    [
        ({"operands": 1}, "operands is 1; it must be 2 to 12"),
        ({"operands": 13}, "operands is 13; it must be 2 to 12"),
        ({"digits": 0}, "digits is 0; it must be 1 to 6"),
        ({"digits": 7}, "digits is 7; it must be 1 to 6"),
        ({"operators": ""}, "operators is ''"),
        ({"operators": "+/"}, r"operators is '\+/'"),
        ({"operators": "++"}, r"operators is '\+\+'"),
        ({"size": 0}, "size is 0; it must be at least 1"),
        ({"split": "tset"}, "did you mean test"),
    ],
)
def test_knobs_out_of_range_are_user_errors(knobs: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        chain(**knobs)
