"""Stored answers: the one source from which every evaluation figure is computed, and can be computed again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from reasonenv.core import FAILURES
from reasonenv.errors import UserError


@dataclass(frozen=True)
class Sample:
    """One response to one held-out problem, with its verdict."""

    problem_id: str
    index: int  # among the samples of its problem
    greedy: bool  # the one answer of an agent, where others are samples of what it might answer
    correct: bool
    reason: str  # a value of `reasonenv.core.Reason`
    extracted: str | None
    length: int  # response tokens
    truncated: bool
    text: str
    score: float | None = None  # by an outcome reward model, where one was asked

    @property
    def verified(self) -> bool:
        """Whether answer and gold could be compared at all."""
        return self.reason not in FAILURES


TYPES: dict[str, tuple[type, ...]] = {
    "problem_id": (str,),
    "index": (int,),
    "greedy": (bool,),
    "correct": (bool,),
    "reason": (str,),
    "extracted": (str, type(None)),
    "length": (int,),
    "truncated": (bool,),
    "text": (str,),
    "score": (float,),
}
OPTIONAL = {"score"}  # stored where there is one


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """JSON lines under a temporary name, then renamed: the file is whole or absent. Errors: `OSError` of the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        for sample in samples:
            record = {k: v for k, v in asdict(sample).items() if v is not None or k not in OPTIONAL}
            file.write(json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_samples(path: Path) -> list[Sample]:
    """The samples of a file. Raises `UserError` naming file and line for one that is broken, incomplete or mistyped."""
    try:
        with path.open(encoding="utf-8", newline="\n") as file:  # only \n ends a line
            return [_parse(line, f"{path}:{number}") for number, line in enumerate(file, start=1)]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; an evaluation writes it when it ends") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text at byte {error.start}; the file is damaged, evaluate again") from None


def _parse(line: str, place: str) -> Sample:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: not a JSON object ({error.msg} at column {error.colno})") from None
    if not isinstance(record, dict) or record.keys() | OPTIONAL != TYPES.keys():
        given = sorted(record) if isinstance(record, dict) else type(record).__name__
        raise UserError(f"{place}: a sample has exactly the fields {', '.join(TYPES)}; found {given}")
    for name, value in record.items():
        if type(value) not in TYPES[name]:  # not isinstance: true would pass as an int
            wanted = " or ".join(kind.__name__ for kind in TYPES[name])
            raise UserError(f"{place}: field {name!r} is {value!r}; it must be {wanted}")
    return Sample(**record)
