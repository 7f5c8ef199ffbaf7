"""From a suite folder, finished or not, to records. Nothing is computed here and nothing is guessed.

DIR/suite.json                      what a report needs to know of the suite: `measures.records.SuiteRecord`
DIR/suite.toml                      optional: the suite as its author has written it
DIR/problems.jsonl                  optional: {"id", "question", "answer"} of the held-out problems
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

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from reasonenv.errors import UserError
from reasonenv.measures.discovery import BASE, Draws
from reasonenv.measures.parquet import read_records
from reasonenv.measures.provenance import SOLVED, SolvedProblem, read_solved
from reasonenv.measures.questions import PROBLEMS, HeldOutProblem, read_questions
from reasonenv.measures.records import CELL, SUITE, CellRecord, read_cell_record, read_suite_record
from reasonenv.measures.rollouts import Rollout, read_rollouts
from reasonenv.measures.samples import EVALUATION, Samples, load_samples
from reasonenv.measures.training_set import TRAINING_SET, Solution
from reasonenv.measures.tuning_record import provenance_of_settings

Row = Mapping[str, float]
T = TypeVar("T")

RUN = "run.json"  # in the folder of a run: all its settings


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
    def setting(self) -> tuple[str, str, str, str]:
        return self.env, self.policy, self.init, self.variant


@dataclass(frozen=True)
class Suite:
    """Everything that a report is made from."""

    name: str
    title: str
    description: str
    baseline: str
    references: tuple[str, ...]  # rows that are no agents: the floor and the ceilings
    command: str
    ks: tuple[int, ...]
    margin: float
    versions: Mapping[str, str]
    hardware: str
    seconds: float | None  # None while the suite has not ended
    cells: Sequence[Cell]
    questions: Mapping[str, HeldOutProblem]  # by problem id
    provenance: str  # how its settings were chosen
    notices: Mapping[tuple[str, str, str], str]  # of an environment, initial policy and variant: what is wrong with it
    source: str = ""  # the suite file
    grid: bool = True  # whether every agent was to be run with every seed


def load_suite(folder: Path) -> Suite:
    """Reads a suite folder. Raises `UserError` naming file and line of what is missing or malformed."""
    path, source = folder / SUITE, folder / "suite.toml"
    if not path.is_file():
        raise UserError(f"{folder}: not a suite folder, it has no suite.json; give the folder of `reasonenv bench run`")
    record = read_suite_record(path)
    # A folder may hold cells of an earlier form of its suite; `cells` names those of this one.
    folders = [folder / "cells" / name for name in record.cells]
    return Suite(
        name=record.name,
        title=record.title or record.name,
        description=record.description,
        baseline=record.baseline,
        references=record.references,
        command=record.command,
        ks=tuple(sorted(set(record.ks))),
        margin=record.margin,
        versions=record.versions,
        hardware=record.hardware,
        seconds=record.seconds,
        cells=[load_cell(each, read_cell_record(each / CELL)) for each in folders if (each / CELL).is_file()],
        questions=read_questions(folder / PROBLEMS),
        provenance=provenance_of_settings(vars(record)),
        notices={(n.env, n.init, n.variant): n.notice for n in record.notices},
        source=source.read_text(encoding="utf-8") if source.is_file() else "",
    )


def load_cell(folder: Path, record: CellRecord) -> Cell:
    """What the run in `folder` has left, with its `record`."""
    done = record.status == "done"

    def optional(name: str, read: Callable[[Path], Sequence[T]]) -> Sequence[T]:
        """What a cell leaves when it is done, if it leaves any."""
        return read(folder / name) if done and (folder / name).is_file() else ()

    evaluation = folder / EVALUATION
    return Cell(
        **vars(record),
        name=folder.name,
        rows=_rows(folder / "metrics.jsonl", done=done),
        samples=load_samples(evaluation) if done and evaluation.is_file() else Samples.of(()),
        solved=optional(SOLVED, read_solved),
        base=optional(BASE, partial(read_records, kind=Draws)),
        training_set=optional(TRAINING_SET, partial(read_records, kind=Solution)),
        token_records=read_rollouts(folder) if done else (),
        manifest=_manifest(folder / "environment.json"),
        questions=read_questions(folder / PROBLEMS),
        settings=read_settings(folder / RUN),
    )


def read_settings(path: Path) -> dict[str, Any]:
    """All settings of a run by names such as `agent_keys.lr`; none if there is no such file."""
    if not path.is_file():
        return {}
    settings: dict[str, Any] = {}
    for key, value in _object(path.read_text(encoding="utf-8"), str(path)).items():
        if key in ("agent_keys", "env_keys") and isinstance(value, dict):
            settings |= {f"{key}.{name}": each for name, each in value.items()}
        elif key not in ("code", "weights", "earlier_code"):
            settings[key] = value
    return settings


def _manifest(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    record = _object(path.read_text(encoding="utf-8"), str(path))
    data = {f"data, {split}": digest for split, digest in dict(record.get("data") or {}).items()}
    named = {key: record[key] for key in ("reproducibility", "hardware", "threads") if key in record}
    return {key: str(value) for key, value in {**named, **data, **dict(record.get("versions") or {})}.items()}


def _rows(path: Path, *, done: bool) -> list[Row]:
    """Metric rows. While a cell runs or after it broke, its last line may be half written and is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[-1] and not done:
        lines = lines[:-1]
    rows = list[Row]()
    for number, line in enumerate(lines, start=1):
        if line:
            record = _object(line, f"{path}:{number}")
            rows.append({key: float(value) for key, value in record.items() if isinstance(value, int | float)})
    return rows


def _object(text: str, place: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: not a JSON object ({error.msg} at column {error.colno})") from None
    if not isinstance(record, dict):
        raise UserError(f"{place}: a JSON object is needed, found {type(record).__name__}")
    return record
