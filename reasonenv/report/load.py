"""From a suite folder, finished or not, to records. Nothing is computed here and nothing is guessed.

DIR/suite.json                      what a report needs to know of the suite: `measures.records.SuiteRecord`
DIR/suite.toml                      optional: the suite as its author has written it
DIR/problems.jsonl                  optional: the held-out problems, as `codec.encode_problem` writes them
DIR/cells/<cell>/cell.json          where the cell stands and what it has used: `measures.records.CellRecord`
DIR/cells/<cell>/run.json           optional: all settings of the run
DIR/cells/<cell>/metrics.jsonl      one row of numbers an iteration
DIR/cells/<cell>/evaluation.parquet   samples on the held-out problems
DIR/cells/<cell>/winning.jsonl      optional: of each solved problem, what the initial policy knew of its solution
DIR/cells/<cell>/base.parquet       of the initial policy, optional: what its base budget of samples solves
DIR/cells/<cell>/training_set.parquet   optional: the set that the agent has imitated
DIR/cells/<cell>/rollouts/          optional: some answers token by token
DIR/cells/<cell>/environment.json   optional: versions, hardware, threads, hashes of the data
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from reasonenv.errors import UserError
from reasonenv.measures.discovery import BASE, Draws
from reasonenv.measures.parquet import read_records
from reasonenv.measures.provenance import SOLVED, SolvedProblem, read_solved
from reasonenv.measures.questions import PROBLEMS, HeldOutProblem, read_questions
from reasonenv.measures.records import (
    CELL,
    LOG,
    MANIFEST,
    RUN,
    SUITE,
    CellRecord,
    SuiteRecord,
    logged_rows,
    read_record,
)
from reasonenv.measures.rollouts import Rollout, read_rollouts
from reasonenv.measures.samples import EVALUATION, Samples, load_samples
from reasonenv.measures.training_set import TRAINING_SET, Solution
from reasonenv.measures.tuning_record import provenance_of_settings
from reasonenv.storage import json_object, read_text

Row = Mapping[str, float]
T = TypeVar("T")

AXES = ("iteration", "rollouts", "tokens", "updates", "seconds", "eval/greedy_accuracy")
SEPARATORS = set("/\\\0")  # what no name of a folder has, here or on Windows
MOST = 1e18  # beyond it nothing can be drawn


@dataclass(frozen=True, kw_only=True)
class Cell(CellRecord):
    """One agent in one setting with one seed, and what it has left."""

    name: str
    rows: Sequence[Row]
    samples: Samples  # empty unless the cell is done
    solved: Sequence[SolvedProblem]
    base: Sequence[Draws]
    training_set: Sequence[Solution]
    token_records: Sequence[Rollout]  # some answers token by token
    manifest: Mapping[str, str]  # what it ran on, and hashes of its data
    questions: Mapping[str, HeldOutProblem]  # by problem id
    settings: Mapping[str, Any]  # of the run, by names such as `agent_keys.lr`

    @property
    def place(self) -> tuple[str, int]:
        """Of an agent and a training seed there is one cell in each setting."""
        return self.agent, self.seed

    @property
    def setting(self) -> tuple[str, str, str, str]:
        return self.env, self.policy, self.init, self.variant


@dataclass(frozen=True)
class Suite:
    """Everything that a report is made from."""

    record: SuiteRecord
    cells: Sequence[Cell]
    provenance: str  # how its settings were chosen
    questions: Mapping[str, HeldOutProblem] = field(default_factory=dict)  # by problem id
    source: str = ""  # the suite file
    grid: bool = True  # whether every agent was to be run with every seed

    @property
    def fixed(self) -> set[str]:
        """The rows that are no agents: the initial policy, the floor and the ceilings."""
        return {self.record.baseline, *self.record.references}


def load_suite(folder: Path) -> Suite:
    """Reads a suite folder. Raises `UserError` naming file and line of what is missing or malformed."""
    path, source = folder / SUITE, folder / "suite.toml"
    if not path.is_file():
        raise UserError(f"{folder}: not a suite folder, it has no suite.json; give the folder of `reasonenv bench run`")
    record = read_record(path, SuiteRecord)
    cells = []
    for name in record.cells:
        if name in ("", ".", "..") or not SEPARATORS.isdisjoint(name):
            raise UserError(f"{path}: cells holds {name!r}; it must be the name of a folder in {folder / 'cells'}")
    for name in record.cells:  # a folder may hold cells of an earlier form of its suite as well
        cell = folder / "cells" / name
        if (cell / CELL).is_file():
            cells.append(load_cell(cell, read_record(cell / CELL, CellRecord)))
    return Suite(
        record=replace(record, title=record.title or record.name, ks=tuple(sorted(set(record.ks)))),
        cells=cells,
        provenance=provenance_of_settings(record.tuned),
        questions=read_questions(folder / PROBLEMS),
        source=read_text(source) if source.is_file() else "",
    )


def load_cell(folder: Path, record: CellRecord) -> Cell:
    """What the run in `folder` has left, with its `record`. Answers and what comes of them count when it is done."""
    done = record.status == "done"

    def optional(name: str, read: Callable[[Path], T], nothing: T) -> T:
        if done and (folder / name).is_file():
            return read(folder / name)
        return nothing

    return Cell(
        **vars(record),
        name=folder.name,
        rows=read_rows_of(folder, done=done),
        samples=optional(EVALUATION, load_samples, Samples.of(())),
        solved=optional(SOLVED, read_solved, []),
        base=optional(BASE, partial(read_records, kind=Draws), []),
        training_set=optional(TRAINING_SET, partial(read_records, kind=Solution), []),
        token_records=read_rollouts(folder) if done else [],
        manifest=_manifest(folder / MANIFEST),
        questions=read_questions(folder / PROBLEMS),
        settings=read_settings(folder / RUN),
    )


def read_settings(path: Path) -> dict[str, Any]:
    """All settings of a run by names such as `agent_keys.lr`; none if there is no such file."""
    settings: dict[str, Any] = {}
    for key, value in _optional_object(path).items():
        if key in ("agent_keys", "env_keys") and isinstance(value, dict):
            for name, each in value.items():
                settings[f"{key}.{name}"] = each
        elif key not in ("code", "weights", "earlier_code", "fresh_optimizer"):
            settings[key] = value
    return settings


def _manifest(path: Path) -> dict[str, str]:
    record = _optional_object(path)
    manifest: dict[str, str] = {}
    for key in ("reproducibility", "hardware", "threads"):
        if key in record:
            manifest[key] = str(record[key])
    for section, label in (("data", "data, "), ("versions", "")):
        values = record.get(section)
        if isinstance(values, dict):
            manifest |= {f"{label}{name}": str(value) for name, value in values.items()}
    return manifest


def _optional_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one if there is no such file."""
    if not path.is_file():
        return {}
    return json_object(read_text(path), str(path))


def read_rows_of(folder: Path, *, done: bool = False) -> list[Row]:
    """Metric rows of a run. While it runs or after it broke, its last line may be half written and is left out."""
    rows = enumerate(logged_rows(folder, whole=done), start=1)
    return [_row(row, f"{folder / LOG}:{number}") for number, row in rows]


def _row(record: Mapping[str, Any], place: str) -> Row:
    """The numbers of an iteration. Raises `UserError` for one that no curve can be drawn over or of."""
    row = {}
    for key, value in record.items():
        if isinstance(value, int | float):
            if key in AXES and not 0 <= value <= MOST:  # not of nan either
                raise UserError(f"{place}: {key} is {str(value)[:40]}; it must be a number from 0 to {MOST:g}")
            if abs(value) <= MOST:  # what is not finite has no place in a curve
                row[key] = float(value)
    return row
