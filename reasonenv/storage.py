"""Files that are whole or absent, that can be checked, and folders in which one process works at a time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from reasonenv.errors import UserError

SUMS = "SHA256SUMS"  # as `sha256sum -c` reads it
LOCK = ".lock"
OWNER = ".owner"  # beside it: the pid, which Windows would let no other process read in the locked file


class Damaged(UserError):
    """A file is not what was written."""


def replace(path: Path, content: str | bytes) -> None:
    """Writes a file that is never seen half written; a text as UTF-8."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            sync(file)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_text(path: Path) -> str:
    """The text of a file. Raises `Damaged` if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Damaged(f"{path} is damaged: {error}") from None


def json_object(text: str, place: str) -> dict[str, Any]:
    """The JSON object that a text is. Raises `Damaged`, naming its `place`, for anything else."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{place} is damaged: not a JSON object ({error})") from None
    if not isinstance(values, dict):
        raise Damaged(f"{place} is damaged: it holds a {type(values).__name__}, not a JSON object")
    return values


def read_record(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises `Damaged` for anything else."""
    return json_object(read_text(path), str(path))


def sync(file: IO[str] | IO[bytes]) -> None:
    """Returns when what was written to `file` is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def seal(folder: Path, files: Iterable[Path]) -> None:
    """Writes the sums of files below `folder` to its `SHA256SUMS`, by which `check` knows them."""
    replace(folder / SUMS, "".join(f"{_line(folder, path)}\n" for path in sorted(files)))


def check(folder: Path, files: Iterable[Path]) -> None:
    """Raises `Damaged` if one of the files is not what it was when `folder` was sealed."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise Damaged(f"{folder / SUMS} cannot be read ({error})") from None
    for path in files:
        if not path.is_file():
            raise Damaged(f"{path} is missing")
        if _line(folder, path) not in lines:
            raise Damaged(f"{path} is damaged: it is not what {folder / SUMS} says")


def _line(folder: Path, path: Path) -> str:
    with path.open("rb") as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder).as_posix()}"


@contextmanager
def owned(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Within it no other process works in `folder`. Raises `UserError` with the pid of the one that does.

    The lock is the kernel's: it ends with its owner, however that ends, and the file that stays behind means nothing.
    A parent's end takes its children along a moment later: `wait` is how many seconds to give them.
    """
    owner = folder / OWNER
    with _locked(folder, wait):
        owner.write_text(f"{os.getpid()}\n")
        try:
            yield
        finally:
            owner.unlink(missing_ok=True)


def check_free(folder: Path) -> None:
    """Raises `UserError` as `owned` does, and writes nothing."""
    if (folder / LOCK).is_file():
        with _locked(folder, wait=0.0):
            pass


@contextmanager
def _locked(folder: Path, wait: float) -> Iterator[None]:
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        who = "another process"
        with suppress(OSError):  # it may be gone by now
            who = f"process {(folder / OWNER).read_text().strip()}"
        raise UserError(f"{who} is at work in {folder}; wait until it has ended, or choose another folder") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be locked ({error.strerror}); choose a folder on a local disk") from error
    try:
        yield
    finally:
        lock.release()
