"""From a suite folder, finished or not, to records. Nothing is computed here and nothing is guessed.

DIR/suite.json                      name, title, description, baseline, references, command, ks, margin, versions,
                                    hardware, seconds, cells
DIR/problems.jsonl                  optional: {"id", "question", "answer"} of the held-out problems
DIR/cells/<cell>/cell.json          agent, env, policy, init, variant, seed, hash, status, error, rollouts, tokens,
                                    updates, seconds, memory (MiB, at most)
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
from reasonenv.measures.rollouts import Rollout, read_rollouts
from reasonenv.measures.samples import EVALUATION, Samples, load_samples
from reasonenv.measures.training_set import TRAINING_SET, Solution
from reasonenv.measures.tuning_record import provenance_of_settings

Row = Mapping[str, float]
T = TypeVar("T")


@dataclass(frozen=True)
class Cell:
    """One agent in one setting with one seed."""

    name: str
    agent: str
    env: str
    policy: str
    init: str
    variant: str
    seed: int
    status: str  # done, failed or running
    error: str | None
    budget: Mapping[str, float]  # rollouts, tokens, updates, seconds, memory (MiB, at most)
    rows: Sequence[Row]
    samples: Samples  # empty unless the cell is done
    solved: Sequence[SolvedProblem]
    base: Sequence[Draws]
    training_set: Sequence[Solution]
    rollouts: Sequence[Rollout]
    card: Mapping[str, str]  # what it ran on, and hashes of its data
    questions: Mapping[str, HeldOutProblem]  # by problem id

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


BUDGET = ("rollouts", "tokens", "updates", "seconds", "memory")  # the last in MiB, at most


def load_suite(folder: Path) -> Suite:
    """Reads a suite folder. Raises `UserError` naming file and line of what is missing or malformed."""
    path = folder / "suite.json"
    if not path.is_file():
        raise UserError(f"{folder}: not a suite folder, it has no suite.json; give the folder of `reasonenv bench run`")
    record = _object(path.read_text(encoding="utf-8"), str(path))
    name = _field(record, "name", str, path)
    seconds = record.get("seconds")
    # A folder may hold cells of an earlier form of its suite; `cells` names those of this one.
    cells = []
    for cell_name in _field(record, "cells", list, path):
        if (folder / "cells" / cell_name / "cell.json").is_file():
            cells.append(_cell(folder / "cells" / cell_name))
    return Suite(
        name=name,
        title=str(record.get("title") or name),
        description=str(record.get("description") or ""),
        baseline=_field(record, "baseline", str, path),
        references=tuple(map(str, record.get("references") or ())),
        command=str(record.get("command") or ""),
        ks=tuple(sorted({int(k) for k in _field(record, "ks", list, path)})),
        margin=_field(record, "margin", float, path),
        versions={str(key): str(value) for key, value in dict(record.get("versions") or {}).items()},
        hardware=str(record.get("hardware") or ""),
        seconds=None if seconds is None else float(seconds),
        cells=cells,
        questions=read_questions(folder / PROBLEMS),
        provenance=provenance_of_settings(record),
        notices=_notices(record, path),
    )


def _notices(record: Mapping[str, Any], path: Path) -> dict[tuple[str, str, str], str]:
    notices = {}
    for entry in record.get("notices") or ():
        if not isinstance(entry, dict):
            raise UserError(f"{path}: a notice is {entry!r}; it must be an object")
        place = str(entry.get("env", "")), str(entry.get("init", "")), str(entry.get("variant", ""))
        notices[place] = str(entry.get("notice", ""))
    return notices


def _cell(folder: Path) -> Cell:
    path = folder / "cell.json"
    record = _object(path.read_text(encoding="utf-8"), str(path))
    status = _field(record, "status", str, path)
    done = status == "done"
    error = record.get("error")

    def optional(name: str, read: Callable[[Path], Sequence[T]]) -> Sequence[T]:
        """What a cell leaves when it is done, if it leaves any."""
        return read(folder / name) if done and (folder / name).is_file() else ()

    evaluation = folder / EVALUATION
    return Cell(
        name=folder.name,
        agent=_field(record, "agent", str, path),
        env=_field(record, "env", str, path),
        policy=_field(record, "policy", str, path),
        init=_field(record, "init", str, path),
        variant=_field(record, "variant", str, path),
        seed=_field(record, "seed", int, path),
        status=status,
        error=None if error is None else str(error),
        budget={key: float(record.get(key) or 0) for key in BUDGET},
        rows=_rows(folder / "metrics.jsonl", done=done),
        samples=load_samples(evaluation) if done and evaluation.is_file() else Samples.of(()),
        solved=optional(SOLVED, read_solved),
        base=optional(BASE, partial(read_records, kind=Draws)),
        training_set=optional(TRAINING_SET, partial(read_records, kind=Solution)),
        rollouts=read_rollouts(folder) if done else (),
        card=_card(folder / "environment.json"),
        questions=read_questions(folder / PROBLEMS),
    )


def _card(path: Path) -> dict[str, str]:
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


def _field(record: Mapping[str, Any], name: str, kind: type, path: Path) -> Any:
    if type(record.get(name)) is not kind:
        raise UserError(f"{path}: field {name!r} is {record.get(name)!r}; it must be of type {kind.__name__}")
    return record[name]
