"""Curricula: difficulty as a function of the iteration alone.

    curriculum="operands:2,3,4 digits:1,1,2"     three levels, each for a third of the run's iterations
    curriculum="operands:4*9,3"                  nine tenths of them with 4, the last tenth with 3

A level is a process of its own, made with the settings that it names. Nothing is measured or remembered, so a run that
is resumed stands where it would have stood. The level of every iteration is logged as `curriculum/level`, and its
numbers as `curriculum/operands`, ... Held-out problems are those of the environment's own settings throughout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reasonenv.errors import UserError
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.tasks import Task

MOST = 1000  # parts in a row with one value


@dataclass(frozen=True)
class Curriculum:
    """One process a level, and the settings that make it differ from the others."""

    levels: tuple[ReasoningMDP, ...]
    settings: tuple[Mapping[str, Any], ...] = ({},)

    def level(self, iteration: int, iterations: int) -> int:
        """floor(iteration * levels / iterations): the levels share a run equally, up to rounding."""
        return min(iteration * len(self.levels) // max(iterations, 1), len(self.levels) - 1)

    def process(self, iteration: int, iterations: int) -> ReasoningMDP:
        """What iteration 0, 1, .. of `iterations` samples from."""
        return self.levels[self.level(iteration, iterations)]

    def metrics(self, iteration: int, iterations: int) -> dict[str, float]:
        """The level of an iteration and its numbers, for the log; nothing where there is one level only."""
        if len(self.levels) == 1:
            return {}
        level = self.level(iteration, iterations)
        metrics = {"curriculum/level": float(level)}
        for key, value in self.settings[level].items():
            if isinstance(value, (int, float)):
                metrics[f"curriculum/{key}"] = float(value)
        return metrics

    @property
    def fingerprint(self) -> str:
        """A hash of the problems of all levels; that of the task where there is one level only."""
        each = [process.task.fingerprint for process in self.levels]
        return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()[:16]


def read_levels(text: str) -> list[dict[str, str]]:
    """The settings of each level. Raises `UserError` for what is no schedule."""
    schedule: dict[str, list[str]] = {}
    for part in text.split():
        key, _, items = part.partition(":")
        values = [value for item in items.split(",") for value in _repeated(item)]
        if not key or not values or "" in values or key in schedule:
            raise UserError(f"curriculum is {text!r}; write KEY:VALUE,VALUE,.. for each key, as in operands:2,3,4")
        schedule[key] = values
    counts = {key: len(values) for key, values in schedule.items()}
    if len(set(counts.values())) != 1 or min(counts.values()) < 2:
        listed = ", ".join(f"{key} has {count}" for key, count in counts.items()) or "it names no key"
        raise UserError(f"curriculum is {text!r}: {listed}; give every key the same number of values, at least 2")
    return [dict(zip(schedule, values, strict=True)) for values in zip(*schedule.values(), strict=True)]


def _repeated(item: str) -> list[str]:
    """VALUE, or VALUE*COUNT so many times."""
    value, _, count = item.rpartition("*")
    return [value] * min(int(count), MOST) if value and count.isdecimal() else [item]


def at_level(task: Task, settings: Mapping[str, Any]) -> Task:
    """The task with the settings in its problems' ids, so that no two levels have a problem of the same id."""
    name = ",".join(f"{key}={value}" for key, value in settings.items())
    return replace(task, problems=[replace(problem, id=f"{problem.id}@{name}") for problem in task.problems])
