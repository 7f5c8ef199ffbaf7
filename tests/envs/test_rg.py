"""reasoning-gym: every generator is a task, scored by itself, and none of them runs what a model wrote."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from reasonenv.checks import check_task
from reasonenv.core import Reason
from reasonenv.errors import UserError
from reasonenv.generators import NAMES
from reasonenv.registry import make_task, task_keys, tasks
from reasonenv.tasks import reference_solution

pytest.importorskip("reasoning_gym", reason="reasoning-gym is optional")
from reasoning_gym.factory import DATASETS

SLOW = {"acre"}  # seconds for its first problem: it makes thousands at once


def test_the_list_of_names_is_that_of_the_package() -> None:
    assert set(NAMES) == set(DATASETS) - {"composite"}
    assert {f"RG-{name}" for name in NAMES} <= set(tasks())


def test_listing_them_imports_nothing() -> None:
    code = "import sys, reasonenv; print('reasoning_gym' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", sorted(set(NAMES) - SLOW))
def test_golds_verify_and_problems_are_functions_of_their_seed(name: str) -> None:
    task = make_task(f"RG-{name}", size=2)
    for problem in task.problems:
        if problem.answer:
            assert task.verify(reference_solution(problem), problem).reason is Reason.CORRECT
        assert not task.verify("I do not know.", problem).correct
    again = make_task(f"RG-{name}", size=1).problems[0]
    assert replace(again, meta={}) == replace(task.problems[0], meta={})


@pytest.mark.parametrize("name", ["leg_counting", "mini_sudoku"])
def test_every_check_holds(name: str) -> None:
    assert [(c.name, c.seen) for c in check_task(f"RG-{name}", sample=5, size=5) if not c.holds] == []


def test_fields_of_the_configuration_are_knobs() -> None:
    assert task_keys("RG-leg_counting")["max_animals"] == "int"
    few = make_task("RG-leg_counting", size=3, min_animals=2, max_animals=2)
    assert all(len(problem.meta["entry"]["metadata"]["animals"]) == 2 for problem in few.problems)
    with pytest.raises(UserError, match="RG-leg_counting refuses"):
        make_task("RG-leg_counting", size=3, min_animals=9, max_animals=1).problems[0]
    with pytest.raises(UserError, match="did you mean max_animals"):
        make_task("RG-leg_counting", max_animal=1)


ATTACKS = ("__import__('os').system('true')", "().__class__", "exec('1')", "9**9**9**9", "[0 for a in [1]]", "'a'*9**9")


@pytest.mark.parametrize("name", ["n_queens", "number_sorting", "countdown", "puzzle24", "polynomial_multiplication"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_scorer_would_execute_is_refused_first(name: str, attack: str) -> None:
    task = make_task(f"RG-{name}", size=1)
    assert task.verify(f"#### {attack}", task.problems[0]).reason is Reason.UNPARSABLE_ANSWER


def test_answers_of_several_lines_and_in_tags_are_found() -> None:
    task = make_task("RG-mini_sudoku", size=1)
    (problem,) = task.problems
    assert "\n" in problem.answer
    assert task.verify(f"So <answer>{problem.answer}</answer>", problem).correct
    assert task.verify(f"so\n#### {problem.answer}\n", problem).correct


def test_an_unknown_generator_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean leg_counting"):
        make_task("reasonenv.envs.rg:leg_count")
