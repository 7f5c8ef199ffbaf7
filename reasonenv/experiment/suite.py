"""Suites by name, read from their TOML files, with every cell checked before any work starts."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reasonenv.errors import UserError, unknown
from reasonenv.experiment.cells import BASELINE, BUDGETS, ORM, REFERENCES, Cell, cells_from
from reasonenv.experiment.suite_config import SuiteConfig, to_toml
from reasonenv.settings import build

RESERVED = (BASELINE, *REFERENCES, ORM)  # rows that every suite makes: no agent is called so

# Settings of a run that a suite decides in another way.
INSTEAD = {
    "seed": "training seeds are its key `seeds`, and the environment's is env.seed=",
    "seeds": "write its key `seeds` in the file",
    "eval_samples": "it follows from the largest of its key `ks`",
}


@dataclass(frozen=True)
class Suite:
    """A suite file, read and checked."""

    name: str
    cells: tuple[Cell, ...]  # each after the one that it starts from
    source: str  # the text of the file
    scale: str | None
    config: SuiteConfig


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


def read_suite(path: Path, scale: str | None = None, keys: Mapping[str, Any] = MappingProxyType({})) -> Suite:
    """Checks every cell of the file before any work starts. Raises `UserError` that names the file and the key.

    `scale` is one of the file's; without one the first is taken, if there are any. `keys` stand above those of the
    table [keys].
    """
    from reasonenv.policy.pretrained import check_policy

    try:
        source = path.read_text(encoding="utf-8")
        table = tomllib.loads(source)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from error
    try:
        table, scale = _scaled(table, scale)
        config = build(SuiteConfig, table)
        _check_labels(config)
        check_policy(config.policy)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if keys:
        _check_effect(config, keys)
        config = replace(config, keys={**config.keys, **keys})
        source = config.to_toml()
        if scale is not None:
            source += to_toml({"scales": {scale: {}}})
    cells: list[Cell] = []
    try:
        config.check_tuning()
        for env in config.envs:
            for init in config.inits:
                cells.extend(cells_from(config, env, init, samples=max(config.ks)))
        check_cells(cells)
    except UserError as error:
        raise UserError(f"{path}, {error}") from error
    name = path.stem if path.name != "suite.toml" else path.parent.name
    return Suite(name, tuple(cells), source, scale, config)


def check_cells(cells: Sequence[Cell]) -> None:
    """Raises `UserError` if two cells are the same, or one would train on what another is measured on."""
    counts = Counter(cell.name for cell in cells)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise UserError(f"asks twice for {twice[0]}; name every environment, seed, agent and initial policy once")
    holdouts = sorted({cell.run.holdout for cell in cells})
    if len(holdouts) > 1:
        raise UserError(f"holdout is {' here and '.join(holdouts)} there; all cells need the same one, set in [keys]")


def _check_labels(config: SuiteConfig) -> None:
    for label in config.agents:
        if label in RESERVED:
            raise UserError(
                f"agents.{label} has the name of a row that the suite makes itself; give it another, and say "
                'agent = "NAME" for which agent it is'
            )


def _check_effect(config: SuiteConfig, keys: Mapping[str, Any]) -> None:
    """Raises `UserError` for a key above [keys] that a suite decides elsewhere, or that every table sets itself."""
    for key, instead in INSTEAD.items():
        if key in keys:
            raise UserError(f"{key}= is no setting of a suite; {instead}")
    tables = list(config.inits.values())
    for label in config.agents:
        tables.append(config.agent(label)[1])
    for key in keys:
        alike = BUDGETS if key in BUDGETS else {key}
        if all(alike & table.keys() for table in tables):
            raise UserError(f"{key} is set by every initial policy and agent of the suite, so {key}= changes nothing")


def _scaled(table: dict[str, Any], scale: str | None) -> tuple[dict[str, Any], str | None]:
    """The suite at one of its scales."""
    scales = table.pop("scales", {})
    if not isinstance(scales, dict) or not all(isinstance(change, dict) for change in scales.values()):
        raise UserError(f"scales is {scales!r}; it must be tables [scales.NAME]")
    if scale is None:
        scale = next(iter(scales), None)
    if scale is None:
        return table, None
    if scale not in scales:
        raise unknown("scale", scale, scales)
    return _merged(table, scales[scale]), scale


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key, all else is replaced."""
    merged = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(base[key], value) if both else value
    return merged
