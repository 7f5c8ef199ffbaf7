"""A suite: agents x environments x variants x initial policies x seeds, read from one TOML file.

    title, description          what the report says first
    policy, envs                what all cells share; `policy` is what every initial policy is made from
    seeds                       training seeds of every agent; all of them start from one initial policy
    ks, margin                  the k of pass@k and maj@k; differences below `margin` count as none
    [keys]                      settings of every cell; `base_samples` is of the initial policy alone
    [inits.NAME]                an initial policy: so many iterations of SFT (0: `policy` as it is), trained once, with
                                its own `seed` (0); who wants several of one kind gives them several names and seeds
    [orm]                       settings of a reward model of each initial policy's samples (optional): it ranks the
                                answers of every cell, and `orm = "orm"` or `labels = "orm"` of an agent means it
    [variants.NAME]             settings of the environment in which every agent is trained and measured (optional)
    [agents.NAME]               settings of one agent; `agent` says which, if it is not NAME, and if that agent is in
                                the file too, its settings hold here as well; NAME is none of `RESERVED`
    without_signal              true: go on although no initial policy answers anything right (optional)
    [tune]                      what `bench tune` tries: lists of values of settings, as in `lr = [1e-4, 1e-3]`, with
                                `seeds` that are not reported and the number of validation `problems` (optional)
    [tuned]                     what `bench tune` has tried and chosen, as it wrote it; see `tuning.py` (optional)
    [scales.NAME]               changes to all of the above for another machine (optional)

Instead of `iterations` a cell may have `rollouts`, the budget from which they follow.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from reasonenv.errors import UserError, unknown
from reasonenv.experiment.cells import BASELINE, ORM, REFERENCES, Cell, cells_from
from reasonenv.experiment.tuning_table import check_tuning

MARGIN = 0.02
ANYWAY = "without_signal"
RESERVED = (BASELINE, *REFERENCES, ORM)  # rows that every suite makes: no agent is called so
# The keys of a suite file: the type of the value, that of its members, and both in words.
SPEC: Mapping[str, tuple[type, type | None, str]] = {
    "title": (str, None, "a text"),
    "description": (str, None, "a text"),
    "policy": (str, None, "a text"),
    "envs": (list, str, "a list of one or more texts"),
    "seeds": (list, int, "a list of one or more whole numbers"),
    "ks": (list, int, "a list of one or more whole numbers"),
    "margin": (float, None, "a number such as 0.02"),
    ANYWAY: (bool, None, "true or false"),
    "keys": (dict, None, "a table"),
    "tune": (dict, None, "a table"),
    "tuned": (dict, None, "a table"),
    "orm": (dict, None, "a table"),
    "inits": (dict, dict, "one or more tables [inits.NAME]"),
    "variants": (dict, dict, "one or more tables [variants.NAME]"),
    "agents": (dict, dict, "one or more tables [agents.NAME]"),
    "scales": (dict, dict, "one or more tables [scales.NAME]"),
}


@dataclass(frozen=True)
class Suite:
    """A suite file, read and checked."""

    name: str
    title: str
    description: str
    ks: tuple[int, ...]
    margin: float
    cells: tuple[Cell, ...]  # each after the one that it starts from
    source: str  # the text of the file
    scale: str | None
    spec: Mapping[str, Any]  # the file at this scale


def suite_path(name: str) -> Path:
    """The file of a suite that comes with the package, or `name` itself if it is a file."""
    if Path(name).is_file():
        return Path(name)
    known = _packaged()
    if name not in known:
        raise unknown("suite", name, known)
    return known[name]


def suites() -> dict[str, str]:
    """The titles of the suites that come with the package."""
    return {name: str(tomllib.loads(path.read_text())["title"]) for name, path in _packaged().items()}


def _packaged() -> dict[str, Path]:
    return {p.stem: p for p in sorted(Path(str(files("reasonenv.suites"))).glob("*.toml"))}


def read_suite(path: Path, scale: str | None = None) -> Suite:
    """Checks every cell of the file before any work starts. Raises `UserError` that names the file and the key.

    `scale` is one of the file's; without one the first is taken, if there are any.
    """
    from reasonenv.policy.pretrained import check_policy

    try:
        source = path.read_text(encoding="utf-8")
        spec = tomllib.loads(source)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from error
    _check(path, spec)
    spec, scale = _scaled(path, spec, scale)
    _check(path, spec)
    for key in ("envs", "seeds", "inits", "agents"):
        if key not in spec:
            raise UserError(f"{path}: {key} is missing; it must be {SPEC[key][2]}")
    for label in spec["agents"]:
        if label in RESERVED:
            raise UserError(
                f"{path}: agents.{label} has the name of a row that the suite makes itself; give it another, and say "
                'agent = "NAME" for which agent it is'
            )
    policy, ks = spec.get("policy", "tiny"), tuple(spec.get("ks", (1,)))
    try:
        check_policy(policy)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if min(ks) < 1:
        raise UserError(f"{path}: ks is {list(ks)}; each must be at least 1")
    try:
        check_tuning(spec)
        cells = [
            cell
            for env in spec["envs"]
            for init in spec["inits"]
            for cell in cells_from(spec, env, init, samples=max(ks))
        ]
        check_cells(cells)
    except UserError as error:
        raise UserError(f"{path}, {error}") from error
    name = path.stem if path.name != "suite.toml" else path.parent.name
    return Suite(
        name,
        spec.get("title", name),
        spec.get("description", ""),
        ks,
        spec.get("margin", MARGIN),
        tuple(cells),
        source,
        scale,
        spec,
    )


def check_cells(cells: Sequence[Cell]) -> None:
    """Raises `UserError` if one cell is asked for twice, or one would train on what another is measured on."""
    twice = [name for name, count in Counter(cell.name for cell in cells).items() if count > 1]
    if twice:
        raise UserError(f"asks twice for {twice[0]}; name every environment, seed, agent and initial policy once")
    holdouts = sorted({cell.run.holdout for cell in cells})
    if len(holdouts) > 1:
        raise UserError(f"holdout is {' here and '.join(holdouts)} there; all cells need the same one, set in [keys]")


def _check(path: Path, spec: Mapping[str, Any]) -> None:
    for key, value in spec.items():
        if key not in SPEC:
            raise unknown(f"key in {path}", key, SPEC)
        kind, member, words = SPEC[key]
        if not _is(value, kind, member):
            raise UserError(f"{path}: {key} is {value!r}; it must be {words}")


def _is(value: Any, kind: type, member: type | None) -> bool:
    """Whether `value` is a `kind` that is not empty and holds such members, if `member` is given."""
    if not issubclass(type(value), kind):
        return False
    members = value.values() if isinstance(value, dict) else value
    return member is None or (len(members) > 0 and all(type(one) is member for one in members))


def _scaled(path: Path, spec: dict[str, Any], scale: str | None) -> tuple[dict[str, Any], str | None]:
    """The suite at one of its scales: tables are merged key by key, all else is replaced."""
    scales = spec.pop("scales", {})
    if scale is None and not scales:
        return spec, None
    scale = next(iter(scales)) if scale is None else scale
    if scale not in scales:
        raise unknown(f"scale in {path}", scale, scales)
    return _merged(spec, scales[scale]), scale


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in change.items()
    }
    return {**base, **both}
