"""A suite: agents x environments x seeds from one TOML file, each cell a run in a folder named by its content.

A cell runs in a process of its own with one thread, so a crash costs that cell alone and a result does not depend on
how many cells ran beside it. What is finished is never run again; a killed cell goes on from its checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import platform
import sys
import threading
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reasonenv.errors import UserError, unknown
from reasonenv.evaluate.run import Run, describe_run, replace, test_problems, train
from reasonenv.version import VERSION

BASELINE = "prior"
# The keys of a suite file: the type of the value, that of its members, and both in words.
SPEC: Mapping[str, tuple[type, type | None, str]] = {
    "title": (str, None, "a text"),
    "description": (str, None, "a text"),
    "policy": (str, None, "a text"),
    "envs": (list, str, "a list of one or more texts"),
    "seeds": (list, int, "a list of one or more whole numbers"),
    "ks": (list, int, "a list of one or more whole numbers"),
    "keys": (dict, None, "a table"),
    "prior": (dict, None, "a table"),
    "agents": (dict, dict, "one or more tables [agents.NAME]"),
}
PACKAGES = ("torch", "transformers", "gymnasium", "numpy")


@dataclass(frozen=True)
class Cell:
    """One run of a suite, the policy that all of it starts from, and the cell (a prior) that this one goes on from."""

    run: Run
    policy: str
    prior: str | None = None

    @property
    def agent(self) -> str:
        """As the report calls it."""
        return self.run.agent if self.prior else BASELINE

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
    cells: tuple[Cell, ...]


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


def read_suite(path: Path) -> Suite:
    """Checks every cell of the file before any work starts. Raises `UserError` that names the file and the key."""
    from reasonenv.policy.pretrained import check_policy

    try:
        spec = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from error
    for key, value in spec.items():
        if key not in SPEC:
            raise unknown(f"key in {path}", key, SPEC)
        kind, member, words = SPEC[key]
        if not _is(value, kind, member):
            raise UserError(f"{path}: {key} is {value!r}; it must be {words}")
    for key in ("envs", "seeds", "prior", "agents"):
        if key not in spec:
            raise UserError(f"{path}: {key} is missing; it must be {SPEC[key][2]}")
    cells: list[Cell] = []
    try:
        check_policy(spec.get("policy", "tiny"))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    ks = tuple(spec.get("ks", (1,)))
    if min(ks) < 1:
        raise UserError(f"{path}: ks is {list(ks)}; each must be at least 1")
    shared = {**spec.get("keys", {}), "eval_samples": max(ks)}
    for env in spec["envs"]:
        for seed in spec["seeds"]:
            policy = spec.get("policy", "tiny")
            prior = Cell(_run(path, "sft", env, seed, {**shared, **spec["prior"]}, policy), policy)
            cells.append(prior)
            for agent, keys in spec["agents"].items():
                run = _run(path, agent, env, seed, {**shared, **keys}, prior.name)
                cells.append(Cell(run, policy, prior.name))
    twice = [name for name, count in Counter(cell.name for cell in cells).items() if count > 1]
    if twice:
        raise UserError(f"{path}: asks twice for {twice[0]}; name every environment and seed once")
    return Suite(path.stem, spec.get("title", path.stem), spec.get("description", ""), ks, tuple(cells))


def _is(value: Any, kind: type, member: type | None) -> bool:
    """Whether `value` is a `kind` that is not empty and holds such members, if `member` is given."""
    if not issubclass(type(value), kind):
        return False
    members = value.values() if isinstance(value, dict) else value
    return member is None or (len(members) > 0 and all(type(one) is member for one in members))


def _run(path: Path, agent: str, env: str, seed: int, keys: Mapping[str, Any], policy: str) -> Run:
    own = dict(keys)
    if not isinstance(iterations := own.pop("iterations", None), int):
        raise UserError(f"{path}, {agent}: iterations is {iterations!r}; it must be a whole number")
    try:
        return describe_run(agent, env, own, policy=policy, seed=seed, iterations=iterations)
    except UserError as error:
        raise UserError(f"{path}, {agent}: {error}") from error


def run_suite(suite: Suite, out: Path, *, jobs: int, command: str) -> Path:
    """Runs the cells that are not done, `jobs` at a time, then writes the report. Returns the report's path."""
    from reasonenv.evaluate.report import write_report

    started = time.monotonic()
    problems = _problems(suite)  # refuses missing data and bad settings before anything is written
    folders = {cell.name: out / "cells" / cell.name for cell in suite.cells}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to --out {out}: {error.strerror}") from error
    todo = [cell for cell in suite.cells if _status(folders[cell.name]) != "done"]
    if not todo:
        print(f"all {len(suite.cells)} cells of {suite.name} are done; nothing to run")
    earlier = _seconds(out)
    _write_suite(suite, out, command, earlier)
    replace(out / "problems.jsonl", problems)
    with tqdm(
        total=sum(c.run.iterations for c in todo), unit=" iterations", dynamic_ncols=True, disable=not todo
    ) as bar:
        for wave in ([c for c in todo if c.prior is None], [c for c in todo if c.prior]):
            _run_wave(wave, folders, jobs, bar)
    _write_suite(suite, out, command, earlier + time.monotonic() - started)
    return write_report(out)


def _run_wave(cells: Sequence[Cell], folders: Mapping[str, Path], jobs: int, bar: tqdm[Any]) -> None:
    """Runs independent cells in processes of their own and follows their logs on the bar."""
    context = multiprocessing.get_context("spawn")
    waiting = list(cells)
    running: dict[str, tuple[Cell, Any]] = {}
    seen = {cell.name: _rows(folders[cell.name]) for cell in cells}
    bar.update(sum(seen.values()))
    while waiting or running:
        while waiting and len(running) < jobs:
            cell = waiting.pop(0)
            child = context.Process(target=run_cell, args=(cell, folders[cell.name].parent), daemon=True)
            with _threads(1):
                child.start()
            running[cell.name] = (cell, child)
        time.sleep(0.2)
        for name, (cell, child) in list(running.items()):
            rows = _rows(folders[name])
            bar.update(max(0, rows - seen[name]))
            seen[name] = max(rows, seen[name])
            if not child.is_alive():
                del running[name]
                if child.exitcode:  # it died without a word
                    _write_cell(folders[name], cell, "failed", f"the process ended with exit code {child.exitcode}")
                bar.write(_told(cell, folders[name]))


class _threads:
    """One thread for the children that start inside: cells run side by side, and results do not depend on cores."""

    def __init__(self, count: int) -> None:
        self._count = str(count)

    def __enter__(self) -> None:
        self._before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = self._count

    def __exit__(self, *raised: object) -> None:
        if self._before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = self._before


def run_cell(cell: Cell, cells: Path) -> None:
    """One cell, in its own process. Its end, good or bad, is in `cell.json`; a traceback, if any, in `error.txt`."""
    out = cells / cell.name
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _write_cell(out, cell, "running")
        (out / "error.txt").unlink(missing_ok=True)
        train(cell.run, out, start=cells / cell.prior if cell.prior else None, quiet=True)
        _write_cell(out, cell, "done")
    except KeyboardInterrupt:  # the suite hears it too, and says what there is to say
        sys.exit(130)
    except Exception as error:  # whatever it was, it is this cell's result and is shown in the report
        (out / "error.txt").write_text(traceback.format_exc())
        _write_cell(out, cell, "failed", f"{type(error).__name__}: {error}")


def _end_with_parent() -> None:
    """Ends this process when its parent is gone, however it went: two suites must never write into one cell."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _problems(suite: Suite) -> str:
    """What is asked, for the report: samples hold the ids of problems alone."""
    problems = {p.id: p for cell in suite.cells for p in test_problems(cell.run)}
    lines = [json.dumps({"id": p.id, "question": p.question, "answer": p.answer}) for p in problems.values()]
    return "".join(f"{line}\n" for line in lines)


def _write_cell(out: Path, cell: Cell, status: str, error: str | None = None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    summary = json.loads((out / "summary.json").read_text()) if (out / "summary.json").exists() else {}
    used = {k: summary.get(k, 0) for k in ("rollouts", "tokens", "updates", "seconds")}
    told = {
        "agent": cell.agent,
        "env": cell.run.env,
        "policy": cell.policy,
        "seed": cell.run.seed,
        "hash": cell.name.rpartition("-")[2],
    }
    replace(out / "cell.json", json.dumps({**told, "status": status, "error": error, **used}, indent=1))


def _write_suite(suite: Suite, out: Path, command: str, seconds: float) -> None:
    packages = {name: version(name) for name in PACKAGES}
    told = {
        "name": suite.name,
        "title": suite.title,
        "description": suite.description,
        "baseline": BASELINE,
        "command": command,
        "ks": suite.ks,
        "versions": {"reasonenv": VERSION, "python": platform.python_version(), **packages},
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}, {platform.system()}",
        "seconds": seconds,
        "cells": [cell.name for cell in suite.cells],
    }
    replace(out / "suite.json", json.dumps(told, indent=1))


def _status(folder: Path) -> str | None:
    path = folder / "cell.json"
    return str(json.loads(path.read_text())["status"]) if path.exists() else None


def _rows(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0


def _seconds(out: Path) -> float:
    path = out / "suite.json"
    return float(json.loads(path.read_text())["seconds"]) if path.exists() else 0.0


def _told(cell: Cell, folder: Path) -> str:
    label = f"{cell.agent} on {cell.run.env}, seed {cell.run.seed}"
    if _status(folder) != "done":
        return f"{label}: failed; {json.loads((folder / 'cell.json').read_text())['error']}"
    s = json.loads((folder / "summary.json").read_text())
    return f"{label}: held-out accuracy {s['before']:.3f} -> {s['after']:.3f} in {s['seconds']:.0f} s"
