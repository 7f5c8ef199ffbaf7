"""The validation split: a tenth of the training questions, never trained on, whatever the task, order or curriculum."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reasonenv.catalog import make_task
from reasonenv.cli import main
from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.experiment import validation
from reasonenv.experiment.config import describe_run
from reasonenv.experiment.processes import processes
from reasonenv.experiment.suite import read_suite
from reasonenv.experiment.tune import trials_of
from reasonenv.experiment.validation import held_back, training_part, validation_part
from reasonenv.measures.samples import read_samples
from reasonenv.tasks import Task
from reasonenv.verify.grade import verify_math

Parts = Callable[..., tuple[list[str], list[str]]]
CHAIN = "reasonenv/Chain-Response-v0"


def task(questions: list[str], examples: tuple[str, ...] = ()) -> Callable[..., Task]:
    """A task of the name Validated, under which it is registered for the parts to be made of it."""

    def make(*, split: str = "train", size: int | None = None) -> Task:
        problems = [Problem(f"p/{i}", question, "1") for i, question in enumerate(questions[:size])]
        shown = tuple(Problem("e", question, "1") for question in examples)
        return Task("Validated", split, problems, verify_math, examples=shown)

    return make


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    """The questions of the training and of the validation part of a task of such questions."""

    def asked(questions: list[str], examples: tuple[str, ...] = (), **keys: Any) -> tuple[list[str], list[str]]:
        monkeypatch.setattr(validation, "task_factory", lambda name: task(questions, examples))
        train, validated = (part("Validated")(**keys) for part in (training_part, validation_part))
        return [p.question for p in train.problems], [p.question for p in validated.problems]

    return asked


QUESTIONS = [f"{i}?" for i in range(20_000)]


def test_one_question_in_ten_is_held_back(parts: Parts) -> None:
    train, validated = parts(QUESTIONS)
    assert sorted(train + validated) == sorted(QUESTIONS)
    # a binomial share of 20,000 has a standard deviation of sqrt(0.1 * 0.9 / 20,000) = 0.0021
    assert len(validated) / len(QUESTIONS) == pytest.approx(0.1, abs=4 * 0.0021)


def test_the_choice_depends_on_no_other_question(parts: Parts) -> None:
    whole = set(parts(QUESTIONS)[1])
    for size in (40, 200, 4_000):
        train, validated = parts(QUESTIONS[::-1], size=size)
        assert set(validated) <= whole
        assert whole.isdisjoint(train)


def test_what_a_few_shot_prompt_shows_is_not_held_back_and_nobody_else_trains_on_what_is(parts: Parts) -> None:
    train, validated = parts(QUESTIONS[:1000])
    shown = (train[0], validated[0])
    # another run may show other examples: its validation questions are trained on by nobody
    assert parts(QUESTIONS[:1000], shown) == (train, validated[1:])


def test_a_task_of_which_nothing_is_left_says_so(parts: Parts) -> None:
    train, validated = parts(QUESTIONS[:1000])
    with pytest.raises(UserError, match="none of the 3 questions of Validated, split train, is left for validation"):
        parts(train[:3])
    with pytest.raises(UserError, match="none of the 2 questions of Validated, split train, is left for training"):
        parts(validated[:2])


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
    assert ran == {f"gsm8k/train/{n}" for n in range(40) if held_back(f"{n}?")}
    assert all(name.startswith("gsm8k/train/") for name in ran)
    card = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert set(card["data"]) == {"train", "validation"}
    capsys.readouterr()
    assert main(["eval", "tiny", *env, "--holdout", "validation", "split=test"]) == 2
    assert "with holdout=validation leave it out" in capsys.readouterr().err
    assert main(["eval", "tiny", *env, "--holdout", "tset"]) == 2
    assert "unknown holdout 'tset'; did you mean test?" in capsys.readouterr().err


SUITE = """
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0]
ks = [1, 2]
keys = { operands = 3, size = 200 }
inits.prior = { iterations = 1, size = 4000 }
agents.grpo = { iterations = 1, samples_per_problem = 2 }
tune = { lr = [1e-5, 3e-3], seeds = [100] }
"""


def test_a_larger_initial_policy_has_not_seen_what_its_agents_are_validated_on(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SUITE)
    cells = {cell.agent: cell for cell in trials_of(read_suite(tmp_path / "small.toml")).cells}
    course, _ = processes(cells["initial"].run)
    _, held_out = processes(cells["grpo, trial 1"].run)
    trained = {problem.question for problem in course.levels[0].task.problems}
    assert len(trained) > 3_000
    assert trained.isdisjoint(problem.question for problem in held_out.task.problems)


def test_a_suite_whose_cells_hold_out_different_splits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SUITE.replace("size = 4000", 'holdout = "test"'))
    suite = read_suite(tmp_path / "small.toml")  # as all others do, as long as nothing is tuned
    with pytest.raises(UserError, match="holdout is test here and validation there"):
        trials_of(suite)


def test_a_policy_that_has_trained_on_validation_questions_is_not_measured_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = [CHAIN, "size=40", "max_tokens=32"]
    keys = [*env, "eval_problems=2", "problems_per_iteration=2", "--iterations", "1", "--json"]

    def train(name: str, *more: str) -> int:
        return main(["train", "sft", *keys, "--out", str(tmp_path / name), *more])

    assert train("prior") == 0
    assert train("clean", "holdout=validation") == 0
    assert train("next", "--policy", str(tmp_path / "prior")) == 0
    capsys.readouterr()
    message = f"{tmp_path / 'prior'} has trained on validation questions of Chain (its holdout is 'test')"
    assert train("tuned", "holdout=validation", "--policy", str(tmp_path / "prior" / "policy")) == 2
    assert message in capsys.readouterr().err
    assert main(["eval", str(tmp_path / "prior"), *env, "--holdout", "validation"]) == 2
    assert message in capsys.readouterr().err
    # nor is one that started from it, which now has the holdout that is asked for
    record = tmp_path / "next" / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"holdout": "validation"}))
    assert main(["eval", str(tmp_path / "next"), *env, "--holdout", "validation"]) == 2
    assert message in capsys.readouterr().err
    assert main(["eval", str(tmp_path / "clean"), *env, "--holdout", "validation", "--json"]) == 0
    other = ["reasonenv/Countdown-Response-v0", "size=200", "max_tokens=32"]  # whose questions it has not seen
    assert main(["eval", str(tmp_path / "prior"), *other, "--holdout", "validation", "--json"]) == 0
