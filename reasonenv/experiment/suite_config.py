"""What a suite file may say: the schema of the TOML, and how it is written.

    [inits.NAME]        so many iterations of SFT (0: `policy` as it is), trained once, with its own `seed` (0); who
                        wants several of one kind gives them several names and seeds
    [agents.NAME]       `agent` says which agent it is, if it is not NAME, and if that agent is in the file too, its
                        settings hold here as well; NAME is no row that every suite makes itself
    [orm]               its model ranks the answers of every cell, and `orm = "orm"` or `labels = "orm"` of an agent
                        means it
    [scales.NAME]       changes to all of this for another machine: tables are merged, all else is replaced
    [tune]              lists of values of settings, each tried with each: `lr = [1e-4, 3e-4]`; and beside them `seeds`
                        and `problems`, see `Tuning`
    [tuned]             written by `bench tune`: split, problems, keys, seeds, trials (runs of one agent in one place)
    [tuned.agents]      of each agent `chosen`, the values of the keys, and `tried`, a list of such values with the
                        greedy `accuracy` that they came to

A file whose agents have not the settings that its record [tuned] says were chosen is refused, or a report would say so.
Instead of `iterations` a cell may have `rollouts`, the budget from which they follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, field, fields
from itertools import product
from typing import Any

from reasonenv.errors import UserError
from reasonenv.measures.tuning_record import is_record
from reasonenv.settings import build, record, setting

Table = Mapping[str, Any]


@record
class Tuning:
    """The table [tune] of a suite, read and checked."""

    trials: tuple[Table, ...]  # the same for every agent
    seeds: tuple[int, ...] = setting(MISSING, "of the trials; none of them is reported", min_length=1)
    problems: int | None = setting(None, "validation problems of a trial (none: `eval_problems`)", ge=1)

    @property
    def keys(self) -> list[str]:
        """The settings that are chosen."""
        return list(self.trials[0])


@record
class SuiteConfig:
    """A suite file at one of its scales: agents x environments x variants x initial policies x seeds."""

    title: str = setting("", "what the report says first (left out: the name of the file)")
    description: str = setting("", "what it says then")
    policy: str = setting("tiny", "what every initial policy is made from")
    envs: tuple[str, ...] = setting(MISSING, "ids of environments", min_length=1)
    seeds: tuple[int, ...] = setting(MISSING, "training seeds of every agent, from one initial policy", min_length=1)
    ks: tuple[int, ...] = setting((1,), "the k of pass@k and maj@k", min_length=1)
    margin: float = setting(0.02, "differences below it count as none")
    keys: Table = field(default_factory=dict)  # settings of every cell; `base_samples` is of the initial policy alone
    inits: Mapping[str, Table] = setting(MISSING, "initial policies", min_length=1)
    orm: Table | None = setting(None, "settings of a reward model of each initial policy's samples")
    variants: Mapping[str, Table] | None = setting(None, "settings in which every agent is trained and measured")
    agents: Mapping[str, Table] = setting(MISSING, "settings of agents", min_length=1)
    without_signal: bool = setting(False, "go on although no initial policy answers anything right")
    tune: Table | None = setting(None, "what `bench tune` tries, see `Tuning`")
    tuned: Table | None = setting(None, "what `bench tune` has tried and chosen, as it wrote it")

    def __post_init__(self) -> None:
        if min(self.ks) < 1:
            raise UserError(f"ks is {list(self.ks)}; each must be at least 1")

    def agent(self, label: str) -> tuple[str, dict[str, Any]]:
        """Which agent `label` is, and its settings: those of the agent that it is a form of, then its own."""
        settings = dict(self.agents[label])
        kind = settings.pop("agent", label)
        base = dict(self.agents[kind]) if kind in self.agents and kind != label else {}
        return base.pop("agent", kind), {**base, **settings}

    def tuning(self) -> Tuning | None:
        """The table [tune]; None if there is none. Raises `UserError` that names the key."""
        if self.tune is None:
            return None
        choices = {key: value for key, value in self.tune.items() if key not in ("seeds", "problems")}
        for key, values in choices.items():
            if not isinstance(values, list) or len(values) < 2 or any(values.count(value) > 1 for value in values):
                raise UserError(f"tune.{key} is {values!r}; it must be a list of two or more different values")
        if not choices:
            raise UserError("tune has no setting to choose; give one, as in lr = [1e-4, 3e-4, 1e-3]")
        others = {key: self.tune[key] for key in ("seeds", "problems") if key in self.tune}
        trials = tuple(dict(zip(choices, values, strict=True)) for values in product(*choices.values()))
        try:
            tuning = build(Tuning, {"trials": trials, **others})
        except UserError as error:
            raise UserError(f"tune.{error}") from error
        self._check_seeds(tuning.seeds, "tune.seeds")
        return tuning

    def check_tuning(self) -> None:
        """Raises `UserError` for a table [tune] that asks for nothing sensible, or an untrue record [tuned]."""
        self.tuning()
        if self.tuned is None:
            return
        if not is_record(self.tuned):
            raise UserError("tuned is no record of `reasonenv bench tune`; remove it, or tune again")
        self._check_seeds(self.tuned["seeds"], "tuned.seeds")
        for label in self.agents:
            if label not in self.tuned["agents"]:
                raise UserError(f"tuned says nothing of agent {label!r}; remove [tuned], or tune again")
            _, settings = self.agent(label)
            for key, value in self.tuned["agents"][label]["chosen"].items():
                if settings.get(key) != value:
                    raise UserError(
                        f"agents.{label}: {key} is {settings.get(key)!r}, but tuned says that {value!r} was chosen; "
                        "remove [tuned], or tune again"
                    )

    def _check_seeds(self, seeds: Sequence[int], name: str) -> None:
        both = sorted(set(seeds) & set(self.seeds))
        if both:
            message = "which is among seeds too; settings are chosen on seeds not reported"
            raise UserError(f"{name} has {both[0]}, {message}")

    def to_toml(self) -> str:
        """The text of a file that says the same."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return to_toml({name: value for name, value in values.items() if value not in (None, "", {})})


def to_toml(spec: Table) -> str:
    """A TOML file: plain values first, then every table with one line a key."""
    lines = [f"{_key(key)} = {_inline(value)}" for key, value in spec.items() if not isinstance(value, Mapping)]
    for key, table in spec.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{_key(key)}]", *(f"{_key(name)} = {_inline(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _text(key)


def _text(text: str) -> str:
    """A TOML string: as in JSON, which alone leaves DEL as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {_inline(item)}' for key, item in value.items())} }}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else repr(value)
