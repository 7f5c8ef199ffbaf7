"""How the settings of a suite were chosen: what its tables [tune] and [tuned] may hold, and the sentence for a report.

    [tune]                      lists of values of settings, each tried with each: `lr = [1e-4, 3e-4]`
    tune.seeds                  of the trials; none of them is reported
    tune.problems               of the validation split, on which trials are measured (default: `eval_problems`)

    [tuned]                     written by `bench tune`: split, problems, keys, seeds, trials (runs of one agent in one
                                place)
    [tuned.agents]              of each agent `chosen`, the values of the keys, and `tried`, a list of such values with
                                the greedy `accuracy` that they came to

A file whose agents have not the settings that its record says were chosen is refused, or a report would say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from reasonenv.errors import UserError
from reasonenv.experiment.cells import agent_settings
from reasonenv.measures.tuning_record import is_record

Values = Mapping[str, Any]  # of settings by their keys


@dataclass(frozen=True)
class Tuning:
    """The table [tune] of a suite, read and checked."""

    trials: tuple[Values, ...]  # the same for every agent
    seeds: tuple[int, ...]
    problems: int | None

    @property
    def keys(self) -> list[str]:
        """The settings that are chosen."""
        return list(self.trials[0])


def read_tuning(spec: Mapping[str, Any]) -> Tuning | None:
    """The table [tune] of a suite; None if it has none. Raises `UserError` that names the key."""
    if "tune" not in spec:
        return None
    table = dict(spec["tune"])
    seeds, problems = table.pop("seeds", None), table.pop("problems", None)
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int for seed in seeds):
        raise UserError(f"tune.seeds is {seeds!r}; it must be a list of one or more whole numbers, as in [100]")
    _check_seeds(spec, seeds, "tune.seeds")
    if problems is not None and (type(problems) is not int or problems < 1):
        raise UserError(f"tune.problems is {problems!r}; it must be a whole number of at least 1")
    for key, values in table.items():
        if not isinstance(values, list) or len(values) < 2 or any(values.count(value) > 1 for value in values):
            raise UserError(f"tune.{key} is {values!r}; it must be a list of two or more different values")
    if not table:
        raise UserError("tune has no setting to choose; give one, as in lr = [1e-4, 3e-4, 1e-3]")
    trials = [dict(zip(table, values, strict=True)) for values in product(*table.values())]
    return Tuning(tuple(trials), tuple(seeds), problems)


def check_tuning(spec: Mapping[str, Any]) -> None:
    """Raises `UserError` for a table [tune] that asks for nothing sensible, or a record [tuned] that is not true."""
    read_tuning(spec)
    if "tuned" not in spec:
        return
    record = spec["tuned"]
    if not is_record(record):
        raise UserError("tuned is no record of `reasonenv bench tune`; remove it, or tune again")
    _check_seeds(spec, record["seeds"], "tuned.seeds")
    for label in spec["agents"]:
        if label not in record["agents"]:
            raise UserError(f"tuned says nothing of agent {label!r}; remove [tuned], or tune again")
        _, settings = agent_settings(spec["agents"], label)
        for key, value in record["agents"][label]["chosen"].items():
            if settings.get(key) != value:
                raise UserError(
                    f"agents.{label}: {key} is {settings.get(key)!r}, but tuned says that {value!r} was chosen; "
                    "remove [tuned], or tune again"
                )


def _check_seeds(spec: Mapping[str, Any], seeds: list[int], name: str) -> None:
    both = sorted(set(seeds) & set(spec["seeds"]))
    if both:
        raise UserError(f"{name} has {both[0]}, which is among seeds too; settings are chosen on seeds not reported")
