"""The records that a suite leaves for its report: `suite.json`, and a `cell.json` for each of its cells.

They are written by `experiment/scheduler.py` and read here: one type each, the fields are the keys of the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from reasonenv.errors import UserError, unknown
from reasonenv.storage import json_object, read_rows, read_text, replace

SUITE, CELL = "suite.json", "cell.json"
# In the folder of a run: all its settings, what it has come to, and what it ran on.
RUN, SUMMARY, MANIFEST = "run.json", "summary.json", "environment.json"
LOG = "metrics.jsonl"  # there too: the numbers of every iteration, a line each
UNTRAINED = Path("evaluations", "000000.parquet")  # there too: greedy answers before the first update
Count = Annotated[int, Field(ge=0, le=10**18)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
BUDGET = ("rollouts", "tokens", "updates", "seconds", "memory")


def logged_rows(folder: Path, *, whole: bool = False) -> list[dict[str, Any]]:
    """The rows of a run's log, none if it has no such file; see `read_rows`."""
    path = folder / LOG
    return read_rows(path, whole=whole) if path.is_file() else []


@dataclass(frozen=True)
class Notice:
    """What is wrong with the initial policy of one table."""

    env: str
    init: str
    variant: str
    notice: str


@dataclass(frozen=True, kw_only=True)
class SuiteRecord:
    """What a report needs to know of a suite beside its cells."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True)

    name: str
    title: str = ""
    description: str = ""
    baseline: str  # the row of the initial policy
    references: tuple[str, ...] = ()  # rows that are no agents: the floor and the ceilings
    command: str = ""
    ks: tuple[int, ...]
    margin: float  # differences below it count as none
    scale: str | None = None
    versions: Mapping[str, str]
    hardware: str = ""
    seconds: float | None = None  # summed over interruptions; None if the suite has not ended
    notices: tuple[Notice, ...] = ()
    tuned: Any = None  # as `bench tune` has written it, see `tuning_record`
    cells: tuple[str, ...]  # names of the folders that are rows of the report


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """One agent in one setting with one seed, and where it stands."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True)

    agent: str
    env: str
    policy: str
    init: str
    variant: str
    seed: int
    hash: str = ""
    status: str  # done, failed or running
    error: str | None = None
    rollouts: Count = 0
    tokens: Count = 0
    updates: Count = 0
    seconds: Amount = 0.0  # summed over interruptions
    memory: Amount = 0.0  # MiB, at most

    @property
    def budget(self) -> dict[str, float]:
        """What it has used."""
        return {key: float(getattr(self, key)) for key in BUDGET}


Record = TypeVar("Record", SuiteRecord, CellRecord)


def write_record(path: Path, record: SuiteRecord | CellRecord) -> None:
    """Writes a whole file or none."""
    replace(path, json.dumps(asdict(record), indent=1))


def read_record(path: Path, kind: type[Record]) -> Record:
    """Raises `UserError` in one line that names the file, and the key that is missing, unknown or of another type."""
    values = json_object(read_text(path), str(path))
    known = {field.name: field for field in fields(kind)}
    for key in values:
        if key not in known:
            raise unknown(f"key in {path}", key, known)
    for key, field in known.items():
        if key not in values and field.default is MISSING:
            raise UserError(f"{path}: key {key!r} is missing; write the file again by running the suite")
    return validated(kind, values, path)


def validated(kind: type[Record], values: Mapping[str, Any], path: Path) -> Record:
    """A record of `values` from the file at `path`. Raises `UserError` that names the key of another type or size."""
    whole = json.dumps(values, ensure_ascii=False).encode(errors="replace")  # a text may hold half a surrogate pair
    try:
        return TypeAdapter(kind).validate_json(whole)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        shown = repr(first["input"])[:80]
        raise UserError(f"{path}: {key} is {shown}; it {first['msg'].removeprefix('Input ')}") from None
