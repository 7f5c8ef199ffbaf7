"""From a task's verifier to a verdict, whatever the verifier does."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import replace

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.errors import UserError
from reasonenv.mdp.user_functions import SECONDS, OutOfTime, is_users, name_of, time_limit
from reasonenv.tasks import Task
from reasonenv.verify.canonical import canonical


def judged(task: Task, answer: str, problem: Problem) -> Verdict:
    """What the verifier of a task says of an answer.

    One that raises gives no verdict on the answer: the reason is `error`, and a warning tells the cause. So does a
    user's that is not ready in time: the reason is `timeout`. Raises `UserError` if it returns something else than
    `Task.judge` takes.
    """
    try:
        with time_limit(SECONDS) if is_users(task.verify) else nullcontext():
            verdict = task.judge(answer, problem)
    except UserError:
        raise
    except OutOfTime:
        name = f"{name_of(task.verify)!r} of {task.name}"
        what = f"the verifier {name} took more than {SECONDS:g} seconds on {problem.id}"
        warnings.warn(what, stacklevel=2)
        return Verdict(Reason.TIMEOUT, None, problem.answer, cause=what)
    except (Exception, SystemExit) as error:
        what = f"the verifier of {task.name} failed on {problem.id}: {type(error).__name__}: {error}"
        warnings.warn(what, stacklevel=2)
        return Verdict(Reason.ERROR, None, problem.answer, cause=what)
    return with_canonical(verdict)


def with_canonical(verdict: Verdict) -> Verdict:
    """A verdict whose verifier has no canonical form gets one: equal answers are equal texts."""
    if verdict.canonical is not None:
        return verdict
    return replace(verdict, canonical=canonical(verdict.reason, verdict.extracted, verdict.gold, "text"))
