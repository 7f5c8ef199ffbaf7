"""The validation split: a tenth of the training questions, never trained on, whatever the task, order or curriculum."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.cli import main
from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.evaluate.run import describe_run, processes
from reasonenv.evaluate.samples import read_samples
from reasonenv.evaluate.validation import validation_questions
from reasonenv.registry import make_task
from reasonenv.tasks import Task
from reasonenv.verify.grade import verify_math

CHAIN = "reasonenv/Chain-Response-v0"


def task(questions: list[str], examples: tuple[str, ...] = ()) -> Task:
    problems = [Problem(f"p/{i}", question, "1") for i, question in enumerate(questions)]
    return Task("Own", "train", problems, verify_math, examples=tuple(Problem("e", q, "1") for q in examples))


@pytest.mark.parametrize(
    ("questions", "held_back"),
    [(1000, 100), (700, 70), (420, 50), (60, 30), (5, 2), (2, 1)],  # a tenth, but 50 or half of what there is
)
def test_a_tenth_is_held_back_and_some_tens_of_small_tasks(questions: int, held_back: int) -> None:
    assert len(validation_questions(task([f"{i}?" for i in range(questions)]))) == held_back


@given(st.lists(st.text(max_size=3), min_size=2, max_size=200, unique=True), st.randoms())
def test_the_choice_depends_on_the_set_of_questions_alone(questions: list[str], random: Random) -> None:
    again = [*questions, *questions]
    random.shuffle(again)
    assert validation_questions(task(again)) == validation_questions(task(questions))


def test_what_a_few_shot_prompt_shows_is_not_held_back() -> None:
    shown = tuple(f"{i}?" for i in range(50))
    assert validation_questions(task([f"{i}?" for i in range(100)], shown)).isdisjoint(shown)
    with pytest.raises(UserError, match="Own has 0 training questions; a validation split takes at least 2"):
        validation_questions(task(["0?", "1?"], shown))


@pytest.mark.parametrize("curriculum", [None, "operands:3,4 digits:1,1", "size:100,400"])
def test_no_question_is_both_trained_on_and_held_out(curriculum: str | None) -> None:
    keys = {"operators": "+-", "size": 400, "holdout": "validation", "curriculum": curriculum}
    course, held_out = processes(describe_run("sft", CHAIN, keys))
    asked = {problem.question for problem in held_out.task.problems}
    trained = [{problem.question for problem in level.task.problems} for level in course.levels]
    assert len(asked) >= 20
    assert all(asked.isdisjoint(questions) for questions in trained)
    assert held_out.task.split == "train"  # the test split is not looked at


def test_what_is_not_held_back_is_trained_on() -> None:
    keys = {"operators": "+-", "size": 400}
    course, held_out = processes(describe_run("sft", CHAIN, {**keys, "holdout": "validation"}))
    parts = [p for process in (course.levels[0], held_out) for p in process.task.problems]
    assert sorted(p.id for p in parts) == sorted(p.id for p in make_task("Chain", **keys).problems)


def test_a_run_and_eval_ask_the_same_validation_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, numbers in (("train", range(40)), ("test", range(40, 44))):
        lines = [json.dumps({"question": f"{n}?", "answer": f"It is {n}.\n#### {n}"}) for n in numbers]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))
    env = ["reasonenv/GSM8K-Response-v0", f"data={tmp_path}", "max_tokens=24"]
    keys = ["eval_problems=99", "problems_per_iteration=2", "holdout=validation", "--iterations", "1", "--json"]
    assert main(["train", "sft", *env, *keys, "--out", str(tmp_path / "run")]) == 0
    assert main(["eval", "tiny", *env, "--holdout", "validation", "--out", str(tmp_path / "a.parquet"), "--json"]) == 0
    ran, evaluated = (
        {s.problem_id for s in read_samples(path)}
        for path in (tmp_path / "run" / "evaluation.parquet", tmp_path / "a.parquet")
    )
    assert ran == evaluated
    assert len(ran) == 20  # half of 40
    assert all(name.startswith("gsm8k/train/") for name in ran)
    card = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert set(card["data"]) == {"train", "validation"}
    capsys.readouterr()
    assert main(["eval", "tiny", *env, "--holdout", "validation", "split=test"]) == 2
    assert "with --holdout validation leave it out" in capsys.readouterr().err
    assert main(["eval", "tiny", *env, "--holdout", "tset"]) == 2
    assert "unknown holdout 'tset'; did you mean test?" in capsys.readouterr().err
