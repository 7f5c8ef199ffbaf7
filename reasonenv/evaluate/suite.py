"""A suite: agents x environments x variants x initial policies x seeds, read from one TOML file.

    title, description          what the report says first
    policy, envs, seeds         what all cells share; `policy` is what every initial policy is made from
    ks, margin                  the k of pass@k and maj@k; differences below `margin` count as none
    [keys]                      settings of every cell
    [inits.NAME]                an initial policy: so many iterations of SFT (0: `policy` as it is)
    [variants.NAME]             settings of the environment in which every agent is trained and measured (optional)
    [agents.NAME]               settings of one agent; `agent` says which, if it is not NAME
    [scales.NAME]               changes to all of the above for another machine (optional)

Instead of `iterations` a cell may have `rollouts`, the budget from which they follow.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from reasonenv.errors import UserError, unknown
from reasonenv.evaluate.run import Run, describe_run

BASELINE = "initial"
MARGIN = 0.02
# The keys of a suite file: the type of the value, that of its members, and both in words.
SPEC: Mapping[str, tuple[type, type | None, str]] = {
    "title": (str, None, "a text"),
    "description": (str, None, "a text"),
    "policy": (str, None, "a text"),
    "envs": (list, str, "a list of one or more texts"),
    "seeds": (list, int, "a list of one or more whole numbers"),
    "ks": (list, int, "a list of one or more whole numbers"),
    "margin": (float, None, "a number such as 0.02"),
    "keys": (dict, None, "a table"),
    "inits": (dict, dict, "one or more tables [inits.NAME]"),
    "variants": (dict, dict, "one or more tables [variants.NAME]"),
    "agents": (dict, dict, "one or more tables [agents.NAME]"),
    "scales": (dict, dict, "one or more tables [scales.NAME]"),
}


@dataclass(frozen=True)
class Cell:
    """One run of a suite."""

    run: Run
    agent: str  # as the report calls it
    policy: str  # what the suite began with
    init: str
    variant: str = ""
    start: str | None = None  # the cell whose policy this one starts from
    shown: bool = True  # whether it is a row of the report, or only what others start from

    @property
    def name(self) -> str:
        """Agent, environment, seed, and a hash of everything that decides the result."""
        content = json.dumps(asdict(self.run), sort_keys=True, default=str)
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        env = self.run.env.rsplit("/", 1)[-1].removesuffix("-v0")
        return f"{self.run.agent}-{env}-seed{self.run.seed}-{digest}".replace(":", "_").replace("/", "_")


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
    policy, ks = spec.get("policy", "tiny"), tuple(spec.get("ks", (1,)))
    try:
        check_policy(policy)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if min(ks) < 1:
        raise UserError(f"{path}: ks is {list(ks)}; each must be at least 1")
    shared = {**spec.get("keys", {}), "eval_samples": max(ks)}
    cells = [
        cell
        for env in spec["envs"]
        for seed in spec["seeds"]
        for init in spec["inits"]
        for cell in _cells(path, spec, env, seed, init, shared)
    ]
    twice = [name for name, count in Counter(cell.name for cell in cells).items() if count > 1]
    if twice:
        raise UserError(f"{path}: asks twice for {twice[0]}; name every environment and seed once")
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
    )


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


def _cells(
    path: Path, spec: Mapping[str, Any], env: str, seed: int, init: str, shared: Mapping[str, Any]
) -> list[Cell]:
    """All that starts from one initial policy."""
    policy, variants = spec.get("policy", "tiny"), spec.get("variants", {"": {}})
    start = Cell(_run(path, "sft", env, seed, {**shared, **spec["inits"][init]}, policy), BASELINE, policy, init)
    if any(variants.values()):  # the initial policy is measured in each variant
        start = replace(start, run=replace(start.run, eval_samples=0), shown=False)
    cells = [start]
    for variant, own in variants.items():
        keys = {**shared, **own}
        begin = Cell(start.run, BASELINE, policy, init, variant, start.name)  # what is the same for all in this place
        if not start.shown:
            cells.append(replace(begin, run=_run(path, "sft", env, seed, {**keys, "iterations": 0}, start.name)))
        for label, settings in spec["agents"].items():
            own_keys = {**keys, **settings}
            run = _run(path, own_keys.pop("agent", label), env, seed, own_keys, start.name)
            cells.append(replace(begin, run=run, agent=label))
    return cells


def _run(path: Path, agent: str, env: str, seed: int, keys: Mapping[str, Any], policy: str) -> Run:
    own = dict(keys)
    iterations, rollouts = own.pop("iterations", None), own.pop("rollouts", None)
    try:
        run = describe_run(agent, env, own, policy=policy, seed=seed, iterations=1)
        if iterations is None and rollouts is not None:
            iterations = _iterations(run, rollouts)
        if not isinstance(iterations, int) or isinstance(iterations, bool):
            raise UserError(f"iterations is {iterations!r}; it must be a whole number")
        return replace(run, iterations=iterations)
    except UserError as error:
        raise UserError(f"{path}, {agent}: {error}") from error


def _iterations(run: Run, rollouts: Any) -> int:
    from reasonenv.registry import find_agent

    config = find_agent(run.agent).Config(**run.agent_keys)
    if config.problems_per_iteration is None:
        raise UserError("rollouts says how many iterations there are only together with problems_per_iteration")
    each = config.problems_per_iteration * config.samples_per_problem
    if type(rollouts) is not int or rollouts % each:
        raise UserError(f"rollouts is {rollouts!r}; it must be a multiple of the {each} of an iteration")
    return int(rollouts // each)
