"""A validation split of any task: training questions that are held back, on which settings may be chosen.

Choosing a learning rate on the problems that are reported makes the report too good. With `holdout=validation` a run is
measured on a part of its training questions and trained on the others; the test split is not looked at.

A hash of a question alone decides whether it is held back. So the initial policy, the agents that start from it and
every level of a curriculum agree on it, whatever their sizes, seeds and other settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

from reasonenv.catalog import parse_env_id, task_factory
from reasonenv.errors import UserError
from reasonenv.measures.records import RUN
from reasonenv.seeding import derive_seed
from reasonenv.storage import read_record
from reasonenv.tasks import TEST, VALIDATION, Task

ONE_IN = 10


def held_back(question: str) -> bool:
    """Whether no run with `holdout=validation` may train on a question, as holds of about one in ten."""
    return derive_seed("validation", question) % ONE_IN == 0


def training_part(task: str) -> Callable[..., Task]:
    """The factory of `task` without the questions that are held back. It raises `UserError` where none is left."""
    return _part(task, "training", lambda question, whole: not held_back(question))


def validation_part(task: str) -> Callable[..., Task]:
    """The factory of `task` with those alone, but for what its few-shot prompts show. It raises as `training_part`."""

    def belongs(question: str, whole: Task) -> bool:
        return held_back(question) and all(question != example.question for example in whole.examples)

    return _part(task, VALIDATION, belongs)


def _part(task: str, name: str, belongs: Callable[[str, Task], bool]) -> Callable[..., Task]:
    factory = task_factory(task)

    @wraps(factory)
    def part(**keys: Any) -> Task:
        whole = factory(**keys)
        problems = [problem for problem in whole.problems if belongs(problem.question, whole)]
        if not problems:
            raise UserError(
                f"none of the {len(whole.problems)} questions of {whole.name}, split {whole.split}, is left for "
                f"{name}: holdout={VALIDATION} holds back about one in {ONE_IN}; give the task more questions"
            )
        return replace(whole, problems=problems)

    return part


def check_unseen(name: str, env: str) -> None:
    """Raises `UserError` if `name`, a policy or reward model, is a run that has trained on what `env` holds back.

    So is one that started from such a run. Its figures on validation questions would be too good and the settings
    chosen by them wrong, which no warning mends. Of what is no run nothing is known, and a run of another task has not
    seen the questions of this one.
    """
    task, _ = parse_env_id(env)
    visited: set[Path] = set()
    folder = _run_folder(Path(name).expanduser())
    while folder is not None and folder not in visited:
        visited.add(folder)
        record = read_record(folder / RUN)
        holdout = record.get("holdout", TEST)
        if holdout != VALIDATION and task_of(str(record.get("env"))) == task:
            raise UserError(
                f"{folder} has trained on validation questions of {task} (its holdout is {holdout!r}), so {name} "
                f"cannot be measured on them; train it with holdout={VALIDATION}, or measure on holdout={TEST}"
            )
        start = str(record.get("policy"))
        # The runs of a suite lie side by side and call each other by their names.
        folder = _run_folder(Path(start).expanduser()) or _run_folder(folder.parent / start)


def _run_folder(path: Path) -> Path | None:
    """The folder of the run that `path`, or the folder of weights in it, belongs to; None if it belongs to none."""
    folder = path.parent if path.name == "policy" else path
    return folder.resolve() if (folder / RUN).is_file() else None


def task_of(env: str) -> str:
    """The task of an environment, whose module is perhaps not imported here."""
    name = env.rpartition(":")[2].removeprefix("reasonenv/")
    return name.rsplit("-", 2)[0]
