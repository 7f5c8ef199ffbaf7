"""Trajectories as JSON lines: appended whole, read back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from reasonenv.codec import ARRAYS, decode, encode
from reasonenv.core import Trajectory
from reasonenv.errors import UserError


class TrajectoryFile:
    """A file to append to. A last line that a crash cut short is taken away first."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)  # unbuffered: a line is one write, so a kill never tears it apart
        size = self._file.tell()
        self._file.truncate(_whole(path.read_bytes()) if size else 0)

    def append(self, trajectory: Trajectory) -> None:
        """Writes one line. Raises `UserError` for a `Problem.meta` that cannot be written (see `reasonenv.codec`)."""
        record = encode(trajectory) | {name: getattr(trajectory, name).tolist() for name in ARRAYS}
        self._file.write(json.dumps(record).encode() + b"\n")

    def close(self) -> None:
        self._file.close()


def _whole(raw: bytes) -> int:
    """How many bytes belong to complete lines."""
    return raw.rfind(b"\n") + 1


def read_trajectories(path: str | Path) -> list[Trajectory]:
    """The trajectories of a file. A last line without its end is left out too.

    Raises `UserError` for a missing file, and with its number for a line that is no trajectory.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; RecordTrajectories(env, path) writes it") from None
    lines = raw[: _whole(raw)].split(b"\n")[:-1]
    return [_trajectory(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def _trajectory(line: bytes, where: str) -> Trajectory:
    try:
        record = json.loads(line)
        arrays = {name: np.array(record.pop(name), dtype=kind) for name, kind in ARRAYS.items()}
        return decode(record, arrays)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{where}: no trajectory ({type(error).__name__}: {error}); take the line out") from None
