"""What a suite file may say: the schema of the TOML, and how it is written.

    [inits.NAME]        so many iterations of SFT (0: `policy` as it is), trained once, with its own `seed` (0); who
                        wants several of one kind gives them several names and seeds
    [agents.NAME]       `agent` says which agent it is, if it is not NAME, and if that agent is in the file too, its
                        settings hold here as well; NAME is no row that every suite makes itself
    [orm]               its model ranks the answers of every cell, and `orm = "orm"` or `labels = "orm"` of an agent
                        means it
    [scales.NAME]       changes to all of this for another machine: tables are merged, all else is replaced

Instead of `iterations` a cell may have `rollouts`, the budget from which they follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, field, fields
from typing import Any

from reasonenv.errors import UserError
from reasonenv.settings import record, setting

Table = Mapping[str, Any]


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
    tune: Table | None = setting(None, "what `bench tune` tries, see `tuning_table.py`")
    tuned: Table | None = setting(None, "what `bench tune` has tried and chosen, as it wrote it")

    def __post_init__(self) -> None:
        if min(self.ks) < 1:
            raise UserError(f"ks is {list(self.ks)}; each must be at least 1")

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
