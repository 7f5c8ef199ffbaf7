"""A task from a user's own questions and answers, in one call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from reasonenv.core import Problem
from reasonenv.data.files import Record, Source, first, read, records, shown
from reasonenv.data.golds import Placed, check_golds, kind_of, marked_answer
from reasonenv.errors import UserError, check_known, unknown
from reasonenv.seeding import derive_seed
from reasonenv.tasks import Task, Verifier, repeatable
from reasonenv.verify.grade import KINDS, VERIFIERS, verifier_of
from reasonenv.verify.rules import DEFAULT, Rules

Problems = str | Path | Sequence[Problem | tuple[str, Any] | Mapping[str, Any]]

AUTO = "auto"


def from_problems(
    source: Problems,
    *,
    verifier: str | Verifier = AUTO,
    rules: Rules = DEFAULT,
    name: str = "Own",
    question: str = "question",
    answer: str = "answer",
    steps: str | None = None,
    test: float | Problems = 0.1,
    instruction: str = Task.instruction,
    system: str = Task.system,
    max_tokens: int = Task.max_tokens,
    rewards: Mapping[str, Callable[..., float]] = MappingProxyType({}),
    metrics: Mapping[str, Callable[..., float]] = MappingProxyType({}),
    skip_broken: bool = False,
) -> Callable[..., Task]:
    """A factory of tasks, as `register_task`, `make_env` and `check_task` take it.

    `source` is a list of `Problem`, of (question, answer) or of mappings; or a `.jsonl`, `.json`, `.csv`, `.tsv` or
    `.parquet` file; or `hub:owner/name/config/split`, the first shard of a data set on the Hugging Face hub.
    `question`, `answer` and `steps` (reference steps: a list, or a text of one a line) say which columns are meant. All
    others are kept in `Problem.meta`, where a verifier, a reward and the report see them; decimal numbers are floats
    there, and dates texts.
    `verifier` is a name of `VERIFIERS` (a kind of `reasonenv.grade`, or `code`), a function as `Task.verify` is, or its
    `module:name`; `auto` chooses a kind by the golds, see `golds.kind_of`. For a kind, a gold that is a solution
    with a mark (`#### 5`, a box) is what the mark holds, and each gold must be a right answer to itself.
    `rules` say what is equal (`docs/verifier.md`); they are of the kinds `math` and `numeric`.
    `test` is the share of the questions that is held out, chosen by their hashes, or a source of its own, which may
    share no question with the first. With `skip_broken` a record whose question or answer is missing, empty or none is
    left out, and a warning says how many were. `instruction`, `system`, `max_tokens`, `rewards` and `metrics` are those
    of `Task`.
    The factory takes `split`, `train` or `test`, and `limit`. Everything is read at once: raises `UserError` for a
    source that is not there, a broken record, a gold that cannot be met, an unknown verifier, or splits that are empty
    or overlap.
    """
    columns = _Columns(question, answer, steps)
    placed = _read(source, name, columns, skip_broken)
    count = len(placed)
    if not isinstance(test, (int, float)):
        placed += _read(test, f"{name}/test", columns, skip_broken)
    verify, problems = _verifier(verifier, placed, rules)
    if isinstance(test, (int, float)):
        splits = _hashed(problems, float(test))
    else:
        splits = _separate(problems[:count], problems[count:])

    @repeatable
    def factory(*, split: str = "train", limit: int | None = None) -> Task:
        check_known(f"{name} split", split, splits)
        return Task(
            name,
            split,
            first(splits[split], limit),
            verify,
            instruction,
            max_tokens,
            rewards=rewards,
            metrics=metrics,
            system=system,
        )

    return factory


def _verifier(verifier: str | Verifier, placed: list[Placed], rules: Rules) -> tuple[Verifier, list[Problem]]:
    """The verifier, and the problems with the golds that it compares with."""
    if callable(verifier) or verifier not in (AUTO, *KINDS):
        if rules != DEFAULT:
            raise UserError(f"rules apply to the kinds math and numeric, not to the verifier {shown(verifier)}")
        verify = VERIFIERS.find(verifier) if isinstance(verifier, str) else verifier
        return verify, [problem for _, problem in placed]
    read = [(where, replace(p, answer=marked_answer(p.answer) or p.answer)) for where, p in placed]
    kind = kind_of(read) if verifier == AUTO else verifier
    verify = verifier_of(kind, rules)
    check_golds(read, kind)
    return verify, [problem for _, problem in read]


def _separate(train: list[Problem], test: list[Problem]) -> dict[str, list[Problem]]:
    both = {p.question for p in train} & {p.question for p in test}
    if both:
        raise UserError(f"{len(both)} questions are in both splits, as {min(both)[:80]!r} is; take them out of one")
    return {"train": train, "test": test}


def _hashed(problems: list[Problem], share: float) -> dict[str, list[Problem]]:
    """The questions with the smallest hashes are the test split, at least one; equal questions stay together."""
    questions = sorted({p.question for p in problems}, key=lambda q: derive_seed("split", q))
    if not 0 < share < 1 or len(questions) < 2:
        raise UserError(f"test is {share} of {len(questions)} questions; it must be between 0 and 1, of at least 2")
    held_out = set(questions[: min(max(1, round(share * len(questions))), len(questions) - 1)])
    splits: dict[str, list[Problem]] = {"train": [], "test": []}
    for problem in problems:
        splits["test" if problem.question in held_out else "train"].append(problem)
    return splits


@dataclass(frozen=True)
class _Columns:
    """The names of the fields of a record."""

    question: str
    answer: str
    steps: str | None


def _read(source: Problems, prefix: str, columns: _Columns, skip_broken: bool) -> list[Placed]:
    """The problems of a source; those that have no id get one from the prefix and their number."""
    placed, broken = list[Placed](), list[UserError]()
    items = read_source(source) if isinstance(source, (str, Path)) else source
    for i, item in enumerate(items):
        try:
            placed.append(_placed(item, i, prefix, columns))
        except UserError as error:
            if not skip_broken:
                raise
            broken.append(error)
    if broken and not placed:
        raise broken[0]
    if broken:
        count = f"{len(broken)} of {len(broken) + len(placed)} records are left out"
        warnings.warn(f"{prefix}: {count}; the first: {broken[0]}", stacklevel=3)
    return placed


def _placed(item: Any, number: int, prefix: str, columns: _Columns) -> Placed:
    """One element of a source as a problem."""
    where = f"problem {number}"
    if isinstance(item, Problem):
        return where, _checked(item, where)
    record = item if isinstance(item, Record) else _listed(item, where, columns)
    return record.where, _problem(f"{prefix}/{number}", record, columns)


def read_source(source: str | Path) -> list[Record]:
    """The records of a file, or of `hub:owner/name/config/split`."""
    text = str(source)
    if text.startswith("hub:"):
        parts = text.removeprefix("hub:").split("/")
        if len(parts) != 4:
            raise UserError(f"{text!r} must read hub:owner/name/config/split, as in hub:openai/gsm8k/main/train")
        owner, name, config, split = parts
        hub = Source(f"{name}/{config}-{split}.jsonl", f"{owner}/{name}", (f"{config}/{split}/0000.parquet",))
        return records(hub, None)
    path = Path(text).expanduser()
    if not path.is_file():
        kinds = ".jsonl, .json, .csv, .tsv or .parquet"
        raise UserError(f"there is no file {path}; give a {kinds} file, or hub:owner/name/config/split")
    return read(path)


def _listed(item: Any, where: str, columns: _Columns) -> Record:
    """An element of a list: a mapping, or a question and its answer."""
    if isinstance(item, Mapping):
        return Record(where, dict(item))
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return Record(where, {columns.question: item[0], columns.answer: item[1]})
    raise UserError(f"{where} is {shown(item)}; it must be a Problem, a (question, answer), or a mapping")


def _problem(id: str, record: Record, columns: _Columns) -> Problem:
    for column in filter(None, (columns.question, columns.answer, columns.steps)):
        if column not in record.fields:
            raise UserError(f"{record.where}: {unknown('column', column, map(str, record.fields))}")
    steps = () if columns.steps is None else _steps(record, columns.steps)
    used = (columns.question, columns.answer, columns.steps)
    others = {str(key): _plain(value) for key, value in record.fields.items() if key not in used}
    return Problem(id, record.text(columns.question), record.value(columns.answer), steps, others)


def _plain(value: Any) -> Any:
    """A value of a column as a reward computes with it, and as a run can store it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return list(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _checked(problem: Problem, where: str) -> Problem:
    """A problem that a user has made; its answer may be empty where his own verifier needs none."""
    record = Record(where, {"question": problem.question, "answer": problem.answer, "steps": problem.steps})
    record.text("question")
    if problem.answer != "":
        record.text("answer")
    _steps(record, "steps")
    return problem


def _steps(record: Record, column: str) -> tuple[str, ...]:
    """The reference steps, without empty ones."""
    lines = record.fields[column]
    if isinstance(lines, str):
        lines = lines.split("\n")
    if lines is None:
        return ()
    if not isinstance(lines, Iterable) or isinstance(lines, Mapping):
        raise UserError(f"{record.where}: field {column!r} is {shown(lines)}; it must be a text or a list of texts")
    present = [line for line in lines if not isinstance(line, str) or line.strip()]
    return tuple(Record(record.where, {column: line}).value(column) for line in present)
