"""Finds the files of published data sets and reads their records. A broken record is an error, never skipped."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.verify.numeric import parse_number

VARIABLE = "REASONENV_DATA"
_REVISION = "refs/convert/parquet"  # the hub keeps every data set as parquet there, under names that do not change
_GAP = re.compile(r"[\s,]*")


DataPath = str | Path | None  # of a data set's file or of a folder that holds it; None where it is to be looked for


class Missing(UserError):
    """A data set that is neither where it was looked for nor on the hub."""


@dataclass(frozen=True)
class Source:
    """Where a data set lives: its original file under a data folder, and its copy on the Hugging Face hub."""

    path: str  # "gsm8k/train.jsonl"
    repo: str  # "openai/gsm8k"
    parquet: tuple[str, ...]  # that together hold the records of `path`


@dataclass(frozen=True)
class Record:
    """One record of a data file, and where it stands for messages about it."""

    where: str  # "train.jsonl, line 7"
    fields: dict[str, Any]

    def text(self, name: str) -> str:
        """The field's text, spaces at its ends removed. Raises `UserError` if it is missing, empty or not text."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{self.where}: field {name!r} is {value!r}; it must be a text that is not empty")
        return value.strip()

    def number(self, name: str) -> str:
        """The field's one number as it is written. Raises `UserError` if it holds none, or more."""
        value = str(self.fields.get(name)).strip()
        if parse_number(value) is None:
            raise UserError(f"{self.where}: field {name!r} is {value!r}; it must be one number")
        return value


def records(source: Source, data: DataPath) -> list[Record]:
    """All records of a data set, in file order.

    `data` is its file or a folder that holds it; None looks under the folder in `REASONENV_DATA`, then on the hub.
    Raises `Missing` if it is nowhere, and `UserError` if a record is broken.
    """
    content: list[Record] = []
    for path in find(source, data):
        content += read(path)
    if not content:
        raise UserError(f"{source.path} holds no records; give a complete copy of it")
    return content


def first(problems: Sequence[Problem], limit: int | None) -> tuple[Problem, ...]:
    """The first `limit` problems, or all. Raises `UserError` for a limit below 1."""
    if limit is not None and limit < 1:
        raise UserError(f"limit is {limit}; it must be at least 1, or left out for all problems")
    return tuple(problems[:limit])


def read(path: Path) -> list[Record]:
    """The records of a `.json` list, a `.csv` or `.parquet` table, or a file of JSON lines (any other name)."""
    if path.suffix == ".parquet":
        from pyarrow import parquet

        table = parquet.read_table(path)
        return [Record(f"{path}, row {i}", row) for i, row in enumerate(table.to_pylist(), start=1)]
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: not UTF-8 ({error.reason}); give the file as published") from None
    if path.suffix == ".csv":
        rows = csv.DictReader(text.splitlines(keepends=True))
        return [Record(f"{path}, line {rows.line_num}", dict(row)) for row in rows]
    if path.suffix == ".json":
        return _read_list(path, text)
    lines = text.removesuffix("\n").split("\n") if text else []
    return [_record(f"{path}, line {number}", _parse(path, line, number)) for number, line in enumerate(lines, start=1)]


def _read_list(path: Path, text: str) -> list[Record]:
    values = _parse(path, text, 1)
    if not isinstance(values, list):
        raise UserError(f"{path}, line 1: holds a {type(values).__name__}; it must be a list of records")
    parsed, decoder, line, at = [], json.JSONDecoder(), 1, text.index("[") + 1
    for value in values:  # read once more, one by one: only this tells the line of each
        gap = _GAP.match(text, at)
        assert gap is not None, "it matches the empty text too"
        start = gap.end()
        line += text.count("\n", at, start)
        parsed.append(_record(f"{path}, line {line}", value))
        _, at = decoder.raw_decode(text, start)
        line += text.count("\n", start, at)
    return parsed


def _parse(path: Path, text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{path}, line {line + error.lineno - 1}, column {error.colno}"
        raise UserError(f"{where}: not JSON ({error.msg}); mend the line, or give the file as published") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets nested without end
        raise UserError(f"{path}, line {line}: not readable ({error}); give the file as published") from None


def _record(where: str, value: Any) -> Record:
    if not isinstance(value, dict):
        raise UserError(f"{where}: holds a {type(value).__name__}; a record must be a JSON object {{..}}")
    return Record(where, value)


def find(source: Source, data: DataPath) -> list[Path]:
    """The files of a data set, wherever they are; see `records`."""
    name = Path(source.path).name
    if data is not None:
        place = Path(data).expanduser()
        for path in (place, place / source.path, place / name):
            if path.is_file():
                return [path]
        raise _not_found(source, f"data={str(data)!r} is neither that file nor a folder that holds it")
    folder = os.environ.get(VARIABLE)
    if folder:
        path = Path(folder).expanduser() / source.path
        if path.is_file():
            return [path]
    return _download(source)


def _download(source: Source) -> list[Path]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    paths = []
    try:
        for file in source.parquet:
            paths.append(Path(hf_hub_download(source.repo, file, repo_type="dataset", revision=_REVISION)))
    except (HfHubHTTPError, OSError) as error:  # refused by the hub, no network or offline
        raise _not_found(source, f"the hub failed: {' '.join(str(error).split())}") from None
    return paths


def _not_found(source: Source, why: str) -> Missing:
    folder = os.environ.get(VARIABLE)
    return Missing(
        f"{source.path} not found ({why}). Give it in one of three ways: "
        "(1) data=PATH, the file or a folder that holds it; "
        f"(2) the environment variable {VARIABLE}=FOLDER with FOLDER/{source.path} in it (now {folder or 'not set'}); "
        f"(3) the Hugging Face hub, {source.repo}, which needs a network"
    )
