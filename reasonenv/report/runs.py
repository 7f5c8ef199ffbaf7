"""Folders of suites and of single runs as one suite, so that any of them can stand in one report.

Runs are compared if they have the same environment and initial policy and were measured alike; the answers of a run
before its first update are the row of the initial policy. Every suite keeps the tables that it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reasonenv.errors import UserError
from reasonenv.measures.conclusions import listed
from reasonenv.measures.records import BUDGET, RUN, SUITE, SUMMARY, UNTRAINED, CellRecord, SuiteRecord, validated
from reasonenv.measures.samples import load_samples
from reasonenv.report.load import Cell, Suite, load_cell, load_suite, read_settings
from reasonenv.storage import read_record

INITIAL = "initial"  # the row of the initial policy
MOST_SAMPLES = 1 << 20  # a problem: more is no folder of a run
MARGIN = 0.02  # differences below it count as none
# What decides what is asked, beside the environment. The reward does not: answers are measured by their verdicts.
MEASURED_BY = ("eval_problems", "holdout", "eval_samples")
PROVENANCE = "Settings are those of the runs; of every agent the last iterate is reported, no checkpoint is chosen."


def load_folders(folders: Sequence[Path]) -> Suite:
    """A suite, if there is one folder and it holds one; else all suites and runs in the folders as one.

    Raises `UserError` that names every folder that holds neither.
    """
    bad = []
    for folder in folders:
        if not (folder / SUITE).is_file() and not (folder / RUN).is_file():
            bad.append(f"{folder} is not the folder of a suite: it has no {SUITE}; nor of a run: it has no {RUN}")
    if bad:
        raise UserError("; ".join(bad))
    if len(folders) == 1 and (folders[0] / SUITE).is_file():
        return load_suite(folders[0])
    names = Counter(folder.name for folder in folders)
    runs, cells, suites = dict[Path, Cell](), list[Cell](), list[Suite]()
    for folder in folders:
        label = folder.name if names[folder.name] == 1 else str(folder)
        if not (folder / SUITE).is_file():
            runs[folder] = replace(_run(folder), name=label)
            continue
        suites.append(load_suite(folder))
        for cell in suites[-1].cells:
            if cell.agent == suites[-1].record.baseline:
                cell = replace(cell, agent=INITIAL)
            cells.append(replace(cell, init=f"{cell.init} of {label}"))
    cells += _comparable(runs)
    ks, references, margins, seconds = set[int](), dict[str, None](), list[float](), 0.0
    for cell in cells:
        seconds += cell.seconds
        sampled = int(cell.settings.get("eval_samples", 0))
        ks.update(2**power for power in range(sampled.bit_length()))
    for suite in suites:
        margins.append(suite.record.margin)
        ks |= set(suite.record.ks)
        references |= dict.fromkeys(suite.record.references)
    title = f"{len(folders)} runs"
    if len(folders) <= 3:
        title = listed([folder.name for folder in folders])
    record = SuiteRecord(
        name="",
        title=title,
        baseline=INITIAL,
        references=tuple(references),
        ks=tuple(sorted(ks)),
        margin=max(margins, default=MARGIN),
        versions={},
        seconds=seconds,
        cells=(),
    )
    return Suite(record, cells, PROVENANCE, grid=False)


def _run(folder: Path) -> Cell:
    path, summary = folder / RUN, {}
    settings = read_settings(path)
    for key in ("agent", "env", "policy", "seed"):
        if key not in settings:
            raise UserError(f"{path}: key {key!r} is missing; give the folder of `reasonenv train`")
    status = "running"
    if (folder / SUMMARY).is_file():
        status, summary = "done", read_record(folder / SUMMARY)
    values = {key: settings[key] for key in ("agent", "env", "policy", "seed")}
    values |= {key: summary.get(key, 0) for key in BUDGET}
    record = validated(CellRecord, {**values, "init": "", "variant": "", "status": status}, path)
    sampled = settings.get("eval_samples", 0)
    if not isinstance(sampled, int) or not 0 <= sampled <= MOST_SAMPLES:
        raise UserError(f"{path}: eval_samples is {sampled!r}; it must be a whole number up to {MOST_SAMPLES}")
    return load_cell(folder, record)


def _comparable(runs: dict[Path, Cell]) -> Iterator[Cell]:
    """The runs in their tables, and the initial policy of each table."""
    initial: dict[object, Cell] = {}
    cells = []
    for folder, run in runs.items():
        cell = replace(run, variant=_variant(run, runs.values()))
        cells.append(cell)
        # One policy, whatever the seeds of the runs; `tiny` alone is made from the seed.
        seed = 0
        if cell.policy == "tiny":
            seed = cell.seed
        if (folder / UNTRAINED).is_file() and (cell.setting, seed) not in initial:
            initial[cell.setting, seed] = _untrained(cell, folder, seed)
    yield from initial.values()
    for cell in cells:
        if any(_collide(cell, other) for other in cells):
            yield replace(cell, agent=f"{cell.agent} ({cell.name})")
        else:
            yield cell


def _collide(run: Cell, other: Cell) -> bool:
    """Whether two runs of an agent are no seeds of one row: they have other settings, or one seed."""
    if run is other or (run.setting, run.agent) != (other.setting, other.agent):
        return False
    return run.seed == other.seed or _stated(run) != _stated(other)


def _stated(run: Cell) -> dict[str, Any]:
    """The settings of a run but for its seed. One that an older version did not have counts as `none`."""
    return {key: value for key, value in run.settings.items() if value is not None and key != "seed"}


def _variant(run: Cell, runs: Iterable[Cell]) -> str:
    """In which conditions it differs from other runs of its environment and initial policy."""
    others = [_conditions(other) for other in runs if (other.env, other.policy) == (run.env, run.policy)]
    parts = []
    for key, value in _conditions(run).items():
        if any(other.get(key) != value for other in others):
            parts.append(f"{key.removeprefix('env_keys.')} {value}")
    return ", ".join(parts)


def _conditions(run: Cell) -> dict[str, Any]:
    """What is asked and how."""
    conditions = {}
    for key, value in run.settings.items():
        if key in MEASURED_BY or (key.startswith("env_keys.") and key != "env_keys.reward"):
            conditions[key] = value
    return conditions


def _untrained(run: Cell, folder: Path, seed: int) -> Cell:
    """The policy from which a run has started."""
    nothing: dict[str, Any] = dict.fromkeys(BUDGET, 0)
    nothing |= dict.fromkeys(("rows", "solved", "base", "training_set", "token_records"), ())
    samples = load_samples(folder / UNTRAINED)
    return replace(run, agent=INITIAL, seed=seed, status="done", error=None, samples=samples, **nothing)
