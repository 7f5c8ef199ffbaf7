"""A validation split of any task: training questions that are held back, on which settings may be chosen.

Choosing a learning rate on the problems that are reported makes the report too good. With `holdout=validation` a run is
measured on a part of its training questions and trained on the others; the test split is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

from reasonenv.errors import UserError
from reasonenv.registry import task_factory
from reasonenv.seeding import derive_seed
from reasonenv.tasks import Task

TEST, VALIDATION = "test", "validation"
HOLDOUTS = (TEST, VALIDATION)
ONE_IN = 10
LEAST = 50  # questions, or half of all, where a tenth is fewer


def validation_questions(task: Task) -> frozenset[str]:
    """The questions of the training split `task` that are held back: about one in ten, those with the smallest hashes.

    So the choice depends on no seed and no order, and equal questions stay together. What a few-shot prompt shows is
    not held back. Raises `UserError` for a task of fewer than two questions.
    """
    shown = {problem.question for problem in task.examples}
    questions = {problem.question for problem in task.problems} - shown
    if len(questions) < 2:
        raise UserError(f"{task.name} has {len(questions)} training questions; a validation split takes at least 2")
    count = min(max(len(questions) // ONE_IN, LEAST), len(questions) // 2)
    by_hash = sorted(questions, key=lambda question: derive_seed("validation", question))
    return frozenset(by_hash[:count])


def without(task: str, questions: frozenset[str]) -> Callable[..., Task]:
    """The factory of `task`, whose tasks have none of the `questions`."""
    return _filtered(task, lambda question: question not in questions)


def only(task: str, questions: frozenset[str]) -> Callable[..., Task]:
    """The factory of `task`, whose tasks have no other question than these."""
    return _filtered(task, lambda question: question in questions)


def _filtered(task: str, keep: Callable[[str], bool]) -> Callable[..., Task]:
    factory = task_factory(task)

    @wraps(factory)
    def filtered(**keys: Any) -> Task:
        whole = factory(**keys)
        return replace(whole, problems=[problem for problem in whole.problems if keep(problem.question)])

    return filtered
