"""Finds the files of published data sets and reads their records. A broken record is an error, never skipped."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from numbers import Rational, Real
from pathlib import Path
from typing import Any

from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.verify.numeric import parse_number

VARIABLE = "REASONENV_DATA"
_REVISION = "refs/convert/parquet"  # the hub keeps every data set as parquet there, under names that do not change
_SHOWN = 200  # characters of a value in a message
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
            raise UserError(f"{self.where}: field {name!r} is {shown(value)}; it must be a text that is not empty")
        if _HALF.search(value):
            raise UserError(f"{self.where}: field {name!r} has half a character in {shown(value)}; write it as UTF-8")
        return value.strip()

    def number(self, name: str) -> str:
        """The field's one number as it is written. Raises `UserError` if it holds none, or more."""
        value = self.fields.get(name)
        written = value.strip() if isinstance(value, str) else number_text(value)
        if written is None or parse_number(written) is None:
            raise UserError(f"{self.where}: field {name!r} is {shown(value)}; it must be one number")
        return written

    def value(self, name: str) -> str:
        """The field's text, or its number written exactly. Raises `UserError` if it is neither, empty or not finite."""
        value = self.fields.get(name)
        written = number_text(value)
        if written is None and isinstance(value, Real | Decimal):
            raise UserError(f"{self.where}: field {name!r} is {shown(value)}; it must be a text or a finite number")
        return self.text(name) if written is None else written


_HALF = re.compile("[\ud800-\udfff]")  # of a pair of surrogates, as JSON may spell one: no encoding has it


def number_text(value: object) -> str | None:
    """A finite number of Python, NumPy or a file, written exactly or as its type writes it; None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, Rational):
            return str(Fraction(int(value.numerator), int(value.denominator)))
    except ValueError:  # thousands of digits, which Python refuses to write
        return None
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else None
    if isinstance(value, Real):
        return str(value) if math.isfinite(value) else None
    return None


def shown(value: object) -> str:
    """A value in a message."""
    try:
        return repr(value)[:_SHOWN]
    except ValueError:  # an integer of thousands of digits
        return f"a {type(value).__name__} too large to be written"


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
    """The records of a file, whose suffix says how it is written.

    `.json` is a list, `.csv` and `.tsv` are tables with the names of the columns in the first row, `.parquet` is that;
    any other name means one JSON object a line. Blank lines are skipped. Numbers of JSON are `int` and `Decimal`, so
    none is rounded. Raises `UserError` that names the file and, for a text, the line.
    """
    _note(path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _read_parquet(path)
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {number}: not UTF-8 ({error.reason}); give the file as published") from None
    if suffix in _DELIMITERS:
        return _read_table(path, text, _DELIMITERS[suffix])
    if suffix == ".json":
        return _read_list(path, text)
    parsed = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            parsed.append(_record(f"{path}, line {number}", _parse(path, number, _DECODER.decode, line)))
    return parsed


_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def _read_parquet(path: Path) -> list[Record]:
    from pyarrow import ArrowException, parquet

    try:
        rows = parquet.read_table(path).to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not Parquet ({reason[:_SHOWN]}); give the file as published") from None
    return [Record(f"{path}, row {i}", row) for i, row in enumerate(rows, start=1)]


def _read_table(path: Path, text: str, delimiter: str) -> list[Record]:
    # The limit on a field guards readers of streams; this text is in memory already.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns, parsed = list[str](), list[Record]()
    line = 1
    try:
        for row in rows:
            where = f"{path}, line {line}"
            line = rows.line_num + 1
            if len(row) < 2 and not "".join(row).strip():
                continue
            if not columns:
                columns = _columns(where, row)
            elif len(row) == len(columns):
                parsed.append(Record(where, dict(zip(columns, row, strict=True))))
            else:
                remedy = f"put a field that holds a {delimiter!r} into double quotes"
                raise UserError(f"{where}: has {len(row)} fields for {len(columns)} columns; {remedy}")
    except csv.Error as error:
        raise UserError(
            f"{path}, line {line}: not CSV ({error}); a double quote in a quoted field is doubled"
        ) from None
    return parsed


def _columns(where: str, names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{where}: two columns are called {name!r}; give each its own name")
    return names


def _read_list(path: Path, text: str) -> list[Record]:
    values = _parse(path, 1, _SYNTAX.decode, text)
    if not isinstance(values, list):
        raise UserError(f"{path}, line 1: holds a {type(values).__name__}; it must be a list of records")
    parsed, line, at = [], 1, text.index("[") + 1
    for _ in values:  # read once more, one by one: only this tells the line of each
        gap = _GAP.match(text, at)
        assert gap is not None, "it matches the empty text too"
        start = gap.end()
        line += text.count("\n", at, start)
        value, at = _parse(path, line, _DECODER.raw_decode, text, start)
        parsed.append(_record(f"{path}, line {line}", value))
        line += text.count("\n", start, at)
    return parsed


def _parse(path: Path, line: int, decode: Callable[..., Any], *arguments: Any) -> Any:
    """What a decoder makes of a text that begins in a line of a file."""
    try:
        return decode(*arguments)
    except json.JSONDecodeError as error:
        where = f"{path}, line {line + error.lineno - 1}, column {error.colno}"
        raise UserError(f"{where}: not JSON ({error.msg}); mend the line, or give the file as published") from None
    except (ValueError, ArithmeticError, RecursionError) as error:
        # a number of thousands of digits or without end, a field that comes twice, brackets nested without end
        raise UserError(
            f"{path}, line {line}: not readable ({error}); mend it, or give the file as published"
        ) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON and no answer")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {max(names, key=names.count)!r} comes twice")
    return fields


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_distinct)
_SYNTAX = json.JSONDecoder(parse_int=str, parse_float=str)  # for where records begin and end: it reads no value


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
            if _is_file(path):
                return [path]
        raise _not_found(source, f"data={str(data)!r} is neither that file nor a folder that holds it")
    folder = os.environ.get(VARIABLE)
    if folder:
        path = Path(folder).expanduser() / source.path
        if _is_file(path):
            return [path]
    return _download(source)


def _is_file(path: Path) -> bool:
    _note(path)
    return path.is_file()


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


# Files that may change ----------------------------------------------------------------------------------------------

Stamp = tuple[int | bytes, ...] | None  # None where there is no file
_noted: ContextVar[dict[Path, Stamp] | None] = ContextVar("files that were looked for", default=None)
_TICK = 2 * 10**9  # nanoseconds: a file system's clock may be too coarse to tell apart two changes that are closer


def stamp(path: Path) -> Stamp:
    """What differs when the file at `path` has changed: its place on the disk, its size and its times.

    Of a file that has just been written, its content too.
    """
    try:
        status = path.stat()
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _TICK:
            return state
        return (*state, hashlib.sha256(path.read_bytes()).digest())
    except OSError:  # nothing is there, or a folder
        return None


@contextmanager
def noted_files() -> Iterator[dict[Path, Stamp]]:
    """Within it this thread notes every file that it reads or looks for here, with its `stamp` before it was read."""
    noted: dict[Path, Stamp] = {}
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


def _note(path: Path) -> None:
    noted = _noted.get()
    if noted is not None:
        noted.setdefault(path, stamp(path))
