"""reasoning-gym: every generator is a task, scored by itself, and none of them runs what a model wrote."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reasonenv.catalog import TASKS, make_task, task_settings
from reasonenv.checks import check_task
from reasonenv.core import Problem, Reason
from reasonenv.errors import UserError
from reasonenv.reasoning_gym_names import NAMES
from reasonenv.tasks import reference_solution
from reasonenv.verify.pool import Pool

pytest.importorskip("reasoning_gym", reason="reasoning-gym is optional")
from reasoning_gym.factory import DATASETS

# Their scorers read over a " + 1" behind the answer, or take it for the constant of integration.
LENIENT = {
    *("game_of_life_halting", "intermediate_integration", "knights_knaves", "quantum_lock", "simple_integration"),
    *("sokoban", "spell_backward"),
}


def test_the_list_of_names_is_that_of_the_package() -> None:
    assert set(NAMES) == set(DATASETS) - {"composite"}
    assert {f"RG-{name}" for name in NAMES} <= set(TASKS)


def test_listing_them_imports_nothing() -> None:
    code = "import sys, reasonenv; print('reasoning_gym' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", NAMES)
def test_every_generator_is_an_environment(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    checks = {check.name: check for check in check_task(f"RG-{name}", sample=1, size=1)}
    if name in LENIENT:
        assert not checks.pop("altered answers do not").holds
    assert [(check.name, check.seen) for check in checks.values() if not check.holds] == []
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    if name not in {"boxnet", "rush_hour"}:  # these two only score
        assert checks["gold answers verify"].seen == "2 reference solutions are correct"


def test_partial_credit_of_the_package_is_the_score_and_no_right_answer() -> None:
    # word_sorting gives full marks for the sorted words alone, and for others what its own scorer says
    task = make_task("RG-word_sorting", size=3)
    make, config = DATASETS["word_sorting"]
    package = make(config(seed=0, size=1))
    for problem in task.problems:
        words = problem.answer.split(", ")
        for answer in (problem.answer, ", ".join(words[:-1]), ", ".join(words[::-1]), "none of them"):
            marks = package.score_answer(answer, problem.meta["entry"])
            verdict = task.judge(f"#### {answer}", problem)
            assert (verdict.correct, verdict.score) == (marks == 1, pytest.approx(marks))
    partial = task.judge(f"#### {problem.answer[:-1]}", problem)
    assert partial.reason is Reason.WRONG
    assert 0 < partial.score < 1


def test_programs_of_a_generator_run_elsewhere_print_nothing_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # of the first 150 problems of codeio several print, and one writes sailor_performance.csv where it is run
    monkeypatch.chdir(tmp_path)
    assert len(list(make_task("RG-codeio", size=150).problems)) == 150
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


GENERATOR = """
import reasonenv.envs.rg_scoring as scoring

PROGRAMS = {programs!r}

class Config:
    def __init__(self, seed, size):
        pass

class Programs:
    def __init__(self, config):
        pass

    def __getitem__(self, place):
        names = {{"answer": "7"}}
        exec(PROGRAMS[place], names)
        return {{"answer": names["answer"]}}

scoring.DATASETS["programs"] = Programs, Config
draw = scoring.draw
"""
PROGRAMS = {  # and the reply
    "while True: pass": Reason.WRONG,
    "import os; os._exit(3)": Reason.WRONG,
    "raise SystemExit": "",
    "input()": "",
    "1/0": "",
    "open('left', 'w').write('x'); print('said')": "{'answer': '7'}",
    "import time; answer = str(time.perf_counter_ns())": "",
    "import secrets; answer = secrets.token_hex()": "",
    "import random, numpy; answer = str(random.random() + numpy.random.rand() > 3)": "{'answer': 'False'}",
    "import os; assert os.listdir() == []": "{'answer': '7'}",
}


def test_a_program_that_does_not_return_costs_its_own_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some_programs.py").write_text(GENERATOR.format(programs=list(PROGRAMS)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    pool = Pool(workers=1)
    try:
        sent = [("programs", "{}", "0", "1", str(place)) for place in range(len(PROGRAMS))]
        replies = [pool.call("some_programs:draw", arguments, 3.0) for arguments in sent]
    finally:
        pool.close()
    endless, *others = replies
    assert endless in (Reason.WRONG, Reason.TIMEOUT)  # as the machine let it run or not; either is no problem
    assert others == list(PROGRAMS.values())[1:]
    assert {path.name for path in tmp_path.iterdir()} <= {"some_programs.py", "__pycache__"}
    assert "said" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("name", ["ab", "gsm_symbolic", "word_ladder"])
def test_a_problem_is_a_function_of_seed_split_and_index(name: str) -> None:
    def made(**knobs: Any) -> list[Problem]:
        return [replace(p, meta={}) for p in make_task(f"RG-{name}", **knobs).problems]

    assert made(size=3)[:2] == made(size=2)
    assert made(size=2) != made(size=2, seed=1)
    assert not {p.question for p in made(size=5)} & {p.question for p in made(size=5, split="test")}


def test_fields_of_the_configuration_are_knobs() -> None:
    assert task_settings("RG-leg_counting")["max_animals"].annotation is int
    few = make_task("RG-leg_counting", size=3, min_animals=2, max_animals=2)
    assert all(len(problem.meta["entry"]["metadata"]["animals"]) == 2 for problem in few.problems)
    with pytest.raises(UserError, match="RG-leg_counting refuses"):
        make_task("RG-leg_counting", size=3, min_animals=9, max_animals=1).problems[0]
    with pytest.raises(UserError, match="did you mean max_animals"):
        make_task("RG-leg_counting", max_animal=1)


ATTACKS = (
    "__import__('os').system('true')",
    "().__class__",
    "exec('1')",
    "9**9**9**9",
    "(9**99) **99",
    "2**(9*9*9*9*9*9)",
    "[0 for a in [1]]",
    "'a'*9**9",
)


@pytest.mark.parametrize("name", ["n_queens", "number_sorting", "countdown", "puzzle24", "polynomial_multiplication"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_scorer_would_execute_is_refused_first(name: str, attack: str) -> None:
    task = make_task(f"RG-{name}", size=1)
    assert task.judge(f"#### {attack}", task.problems[0]).reason is Reason.UNPARSABLE_ANSWER


def test_what_is_harmless_is_told_in_linear_time() -> None:
    for name in ("puzzle24", "simple_integration"):
        task = make_task(f"RG-{name}", size=1)
        for text in ("1" * 490 + "!", "1+" * 240 + "!", "x^2" * 160 + "!", "((" * 240 + "!"):
            assert task.judge(f"#### {text}", task.problems[0]).reason is Reason.UNPARSABLE_ANSWER


def test_a_scorer_that_hangs_costs_its_own_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = (task := make_task("RG-intermediate_integration", size=1)).problems
    assert task.judge(reference_solution(problem), problem).correct  # the worker has imported all it needs
    monkeypatch.setattr("reasonenv.envs.rg.TIMEOUT", 0.5)
    hanging = "*".join(f"sin(x**{k}/7)*exp(cos(x**{k}/3))*log(x+{k})" for k in range(2, 14))
    monkeypatch.setattr("reasonenv.verify.pool.seconds_withheld", lambda _: 0.0)  # whatever else this machine does
    assert task.judge(f"#### {hanging}", problem).reason is Reason.WRONG  # the answer made it hang
    monkeypatch.undo()
    assert task.judge(reference_solution(problem), problem).correct


def test_a_scorer_that_raises_costs_its_own_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = (task := make_task("RG-leg_counting", size=1)).problems
    assert task.judge("#### ", problem).reason is Reason.NO_ANSWER
    gone = replace(problem, meta={"entry": {}})  # what a scorer of the package looks for is not there
    assert task.judge(reference_solution(problem), gone).reason is Reason.UNPARSABLE_ANSWER
    assert task.judge(reference_solution(problem), problem).correct


def test_answers_of_several_lines_and_in_tags_are_found() -> None:
    task = make_task("RG-mini_sudoku", size=1)
    (problem,) = task.problems
    assert "\n" in problem.answer
    assert task.judge(f"So <answer>{problem.answer}</answer>", problem).correct
    assert task.judge(f"so\n#### {problem.answer}\n", problem).correct


def test_an_unknown_generator_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean leg_counting"):
        make_task("reasonenv.envs.rg:leg_count")
