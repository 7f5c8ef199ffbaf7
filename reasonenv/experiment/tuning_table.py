"""How the settings of a suite were chosen: what its tables [tune] and [tuned] may hold, and the sentence for a report.

    [tune]                      lists of values of settings, each tried with each: `lr = [1e-4, 3e-4]`; and beside them
                                `seeds` and `problems`, see `Tuning`

    [tuned]                     written by `bench tune`: split, problems, keys, seeds, trials (runs of one agent in one
                                place)
    [tuned.agents]              of each agent `chosen`, the values of the keys, and `tried`, a list of such values with
                                the greedy `accuracy` that they came to

A file whose agents have not the settings that its record says were chosen is refused, or a report would say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from itertools import product
from typing import Any

from reasonenv.errors import UserError
from reasonenv.experiment.cells import agent_settings
from reasonenv.experiment.suite_config import SuiteConfig
from reasonenv.measures.tuning_record import is_record
from reasonenv.settings import build, record, setting

Values = Mapping[str, Any]  # of settings by their keys


@record
class Tuning:
    """The table [tune] of a suite, read and checked."""

    trials: tuple[Values, ...]  # the same for every agent
    seeds: tuple[int, ...] = setting(MISSING, "of the trials; none of them is reported", min_length=1)
    problems: int | None = setting(None, "validation problems of a trial (none: `eval_problems`)", ge=1)

    @property
    def keys(self) -> list[str]:
        """The settings that are chosen."""
        return list(self.trials[0])


def read_tuning(config: SuiteConfig) -> Tuning | None:
    """The table [tune] of a suite; None if it has none. Raises `UserError` that names the key."""
    if config.tune is None:
        return None
    choices = {key: value for key, value in config.tune.items() if key not in ("seeds", "problems")}
    for key, values in choices.items():
        if not isinstance(values, list) or len(values) < 2 or any(values.count(value) > 1 for value in values):
            raise UserError(f"tune.{key} is {values!r}; it must be a list of two or more different values")
    if not choices:
        raise UserError("tune has no setting to choose; give one, as in lr = [1e-4, 3e-4, 1e-3]")
    others = {key: config.tune[key] for key in ("seeds", "problems") if key in config.tune}
    trials = tuple(dict(zip(choices, values, strict=True)) for values in product(*choices.values()))
    try:
        tuning = build(Tuning, {"trials": trials, **others})
    except UserError as error:
        raise UserError(f"tune.{error}") from error
    _check_seeds(config, tuning.seeds, "tune.seeds")
    return tuning


def check_tuning(config: SuiteConfig) -> None:
    """Raises `UserError` for a table [tune] that asks for nothing sensible, or a record [tuned] that is not true."""
    read_tuning(config)
    if config.tuned is None:
        return
    tuned = config.tuned
    if not is_record(tuned):
        raise UserError("tuned is no record of `reasonenv bench tune`; remove it, or tune again")
    _check_seeds(config, tuned["seeds"], "tuned.seeds")
    for label in config.agents:
        if label not in tuned["agents"]:
            raise UserError(f"tuned says nothing of agent {label!r}; remove [tuned], or tune again")
        _, settings = agent_settings(config.agents, label)
        for key, value in tuned["agents"][label]["chosen"].items():
            if settings.get(key) != value:
                raise UserError(
                    f"agents.{label}: {key} is {settings.get(key)!r}, but tuned says that {value!r} was chosen; "
                    "remove [tuned], or tune again"
                )


def _check_seeds(config: SuiteConfig, seeds: Sequence[int], name: str) -> None:
    both = sorted(set(seeds) & set(config.seeds))
    if both:
        raise UserError(f"{name} has {both[0]}, which is among seeds too; settings are chosen on seeds not reported")
