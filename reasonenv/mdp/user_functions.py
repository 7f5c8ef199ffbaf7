"""Functions of a user's own: a reward or a metric is called with what its parameters name, and within a time limit.

A parameter is one of `ARGUMENTS`, or a column of the problem (a key of `Problem.meta`):

    def near(text, answer):                      the response and the reference answer
        return 1 - abs(float(text) - float(answer)) / 100

    def brief(after, difficulty):                the state at the end, and a column
        return after.terminated and after.length < 20 * difficulty

    def lines(problem, before, after):           a parameter `before`: it is asked at the end of every step
        return 0.01 * (after.text.count("\\n") - before.text.count("\\n"))
"""

from __future__ import annotations

import functools
import inspect
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real
from types import FrameType
from typing import Any

from reasonenv.core import Problem
from reasonenv.errors import UserError, title
from reasonenv.mdp.progress import Progress
from reasonenv.sources import PACKAGE

SECONDS = 60.0  # on the wall, for one call

ARGUMENTS: Mapping[str, Callable[[Problem, Progress, Progress], Any]] = {
    "text": lambda problem, before, after: after.text,
    "problem": lambda problem, before, after: problem,
    "question": lambda problem, before, after: problem.question,
    "answer": lambda problem, before, after: problem.answer,
    "steps": lambda problem, before, after: problem.steps,
    "verdict": lambda problem, before, after: after.verdict,
    "before": lambda problem, before, after: before,
    "after": lambda problem, before, after: after,
}


class OutOfTime(BaseException):
    """A call was stopped. No `Exception`, which a function might catch."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stops what runs within it by `OutOfTime`, a loop as well as a wait.

    It uses the alarm of the operating system, which only the main thread has: in another thread nothing is stopped.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    handler = signal.signal(signal.SIGALRM, stop)
    earlier = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again every second, for who catches everything
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if earlier[0]:
            signal.setitimer(signal.ITIMER_REAL, *earlier)


def is_users(function: Any) -> bool:
    """Whether a function, or an object that is called, is not one of this package."""
    while isinstance(function, functools.partial):
        function = function.func
    module = getattr(function, "__module__", None) or type(function).__module__
    return str(module).partition(".")[0] != PACKAGE


def name_of(function: Any) -> str:
    """As `title`, of what a `partial` calls."""
    while isinstance(function, functools.partial):
        function = function.func
    return title(function)


@dataclass(frozen=True)
class UserFunction:
    """A function of a user as one of (problem, before, after). `kind` and `name` are for messages."""

    kind: str
    name: str
    function: Callable[..., Any]
    parameters: Mapping[str, bool] = field(init=False, compare=False)  # by name, and whether it has no default

    def __post_init__(self) -> None:
        named: dict[str, bool] = {}
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except (TypeError, ValueError):
            raise UserError(f"{self._named} does not say what its parameters are; wrap it in a function") from None
        for parameter in parameters:
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise UserError(f"{self._named} has a parameter {parameter.name!r} that takes no name")
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                named[parameter.name] = parameter.default is parameter.empty
        object.__setattr__(self, "parameters", named)

    @property
    def at_end(self) -> bool:
        """Whether it is asked at the end of the episode alone."""
        return getattr(self.function, "at_end", False) or "before" not in self.parameters

    def check(self, problem: Problem) -> None:
        """Raises `UserError` for a parameter that is neither one of `ARGUMENTS` nor a column of the problem."""
        for name, needed in self.parameters.items():
            if needed and name not in ARGUMENTS and name not in problem.meta:
                raise UserError(f"{self._named} takes {name!r}, which {problem.id} has not; {self._allowed(problem)}")

    def __call__(self, problem: Problem, before: Progress, after: Progress) -> float:
        """What it returns. Raises `UserError` if it fails, takes too long or returns no number; nan is one."""
        self.check(problem)
        values = {}
        for name in self.parameters:
            if name in ARGUMENTS:
                values[name] = ARGUMENTS[name](problem, before, after)
            elif name in problem.meta:
                values[name] = problem.meta[name]
        try:
            with time_limit(SECONDS):
                returned = self.function(**values)
        except OutOfTime:
            limit = f"{SECONDS:g} seconds"
            raise UserError(f"{self._named} took more than {limit} on {problem.id}; make it faster") from None
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise UserError(f"{self._named} failed on {problem.id}: {type(error).__name__}: {error}") from error
        if getattr(returned, "ndim", None) == 0:  # of NumPy or torch
            returned = returned.item()
        if not isinstance(returned, Real):
            raise UserError(f"{self._named} returned {returned!r:.60} on {problem.id}; it must return a number")
        try:
            return float(returned)
        except OverflowError:
            raise UserError(f"{self._named} returned {type(returned).__name__} out of range on {problem.id}") from None

    @property
    def _named(self) -> str:
        return f"{self.kind} {self.name!r}"

    def _allowed(self, problem: Problem | None = None) -> str:
        columns = "a column of the problem"
        if problem is not None and problem.meta:
            columns += f" ({', '.join(map(str, problem.meta))})"
            odd = next((key for key in problem.meta if not str(key).isidentifier()), None)
            if odd is not None:
                columns += f"; a name that is no parameter is read as problem.meta[{odd!r}]"
        return f"its parameters may be {', '.join(ARGUMENTS)} or {columns}"
