"""Files that are whole or absent, that can be checked, and folders in which one process works at a time.

A folder may come from a stranger, and an archive keeps links. So nothing is written below a folder that holds a link,
and what is written is a new file that takes the name of the old one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from reasonenv.errors import UserError

SUMS = "SHA256SUMS"  # as `sha256sum -c` reads it
LOCK = ".lock"
OWNER = ".owner"  # beside it: the pid, which Windows would let no other process read in the locked file
PARTIAL = re.compile(r"\..+\.[0-9a-f]{8}\.partial")  # a file that is being written, or was when a kill came
POLL = 0.05  # seconds between two attempts to lock


class Damaged(UserError):
    """A file is not what was written."""


def replace(path: Path, content: str | bytes) -> None:
    """Writes a file that is never seen half written; a text as UTF-8. A link of this name is replaced, not followed."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    with naming(path):
        try:
            with partial.open("xb") as file:  # a new file, which no link can lead elsewhere
                file.write(content.encode() if isinstance(content, str) else content)
                sync(file)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An `OSError` within it that names no file, such as that of a full disk, names `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def read_text(path: Path) -> str:
    """The text of a file. Raises `Damaged` if it is not UTF-8, or a pipe or device, which may have no end."""
    if path.exists() and not path.is_file():
        raise Damaged(f"{path} is damaged: it is no regular file")
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


def read_rows(path: Path, *, whole: bool = True) -> list[dict[str, Any]]:
    """The JSON objects in the lines of a file. Raises `Damaged` that names the line of anything else.

    Unless the file is `whole`, its last line may be half written and is left out then.
    """
    lines = read_text(path).split("\n")
    if lines[-1] and not whole:
        lines.pop()
    return [json_object(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line]


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


def check_writable(out: Path, *, file: bool = False) -> None:
    """Raises `UserError` if no folder, or no `file`, can be made at `out`. Leaves nothing there."""
    try:
        str(out).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"cannot write to --out {out}: its name is no UTF-8 text; choose another name") from error
    paths = (out.absolute(), *out.absolute().parents)
    for path in paths:
        if path.is_symlink() and not path.exists():
            raise UserError(f"cannot write to --out {out}: {path} is a link to nothing; remove it")
    nearest = next(path for path in paths if path.exists())
    if nearest.is_file() and nearest == out.absolute():
        if not file:
            raise UserError(f"cannot write to --out {out}: it is a file; give a folder")
        nearest = nearest.parent  # it is replaced
    if not nearest.is_dir():
        raise UserError(f"cannot write to --out {out}: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to --out {out}: no permission to write in {nearest}")
    try:
        os.rmdir(tempfile.mkdtemp(dir=nearest))  # a full disk and /proc show only then
    except OSError as error:
        raise UserError(f"cannot write to --out {out}: {nearest}: {error.strerror}") from error


def refuse_links(folder: Path) -> None:
    """Raises `UserError` if something below `folder` is neither a file nor a folder, such as a link.

    `folder` itself may be a link: its name is the user's choice, and what lies in it may be a stranger's.
    """
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    kind = "a link" if entry.is_symlink() else "no regular file"
                    raise UserError(
                        f"{entry.path} is {kind}, and nothing is written where one is: it may lead out of the folder; "
                        "remove it, or choose another folder"
                    )


def make_folder(path: Path) -> None:
    """Makes a folder in one that may be a stranger's. Raises `UserError` if a link has its name."""
    path.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        raise UserError(f"{path} is a link, and nothing is written through one; remove it, or choose another folder")


@contextmanager
def owned(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Within it no other process works in `folder`. Raises `UserError` with the pid of the one that does.

    Raises `UserError` for a folder with links, too. The locks are the kernel's: they end with their owner, however that
    ends, and the file that stays behind means nothing. A parent's end takes its children along a moment later: `wait`
    is how many seconds to give them.
    """
    owner = folder / OWNER
    with _locked(folder, wait, make=True):
        _remove_partial(folder)
        replace(owner, f"{os.getpid()}\n")
        try:
            yield
        finally:
            owner.unlink(missing_ok=True)


def check_free(folder: Path) -> None:
    """Raises `UserError` as `owned` does, and writes nothing."""
    if folder.is_dir():
        with _locked(folder, wait=0.0, make=False):
            pass


def _remove_partial(folder: Path) -> None:
    """Removes what kills have left of files. A folder below that has a lock is left to who takes that."""
    for path in folder.rglob(".*.partial"):
        between = [folder / parent for parent in path.relative_to(folder).parents][:-1]
        if PARTIAL.fullmatch(path.name) and path.is_file() and not any((each / LOCK).exists() for each in between):
            path.unlink()


@contextmanager
def _locked(folder: Path, wait: float, *, make: bool) -> Iterator[None]:
    """Locks the folder itself, and its lock file for file systems that cannot lock a folder; `make` creates that."""
    refuse_links(folder)
    with ExitStack() as locks:
        try:
            locks.enter_context(_locked_inode(folder, wait))
            if make or (folder / LOCK).is_file():
                locks.enter_context(FileLock(folder / LOCK, timeout=wait))
        except Timeout:
            who = "another process"
            with suppress(OSError):  # it may be gone by now
                who = f"process {(folder / OWNER).read_text().strip()}"
            raise UserError(
                f"{who} is at work in {folder}; wait until it has ended, or choose another folder"
            ) from None
        except OSError as error:
            raise UserError(f"{folder} cannot be locked ({error.strerror}); choose a folder on a local disk") from error
        yield


@contextmanager
def _locked_inode(folder: Path, wait: float) -> Iterator[None]:
    """Locks what `folder` is, whatever is removed in it. Raises `Timeout`. On Windows it does nothing."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    deadline = time.monotonic() + wait
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Timeout(str(folder)) from None
                time.sleep(POLL)
            except OSError:  # some network file systems lock files alone
                break
        yield
    finally:
        os.close(descriptor)
