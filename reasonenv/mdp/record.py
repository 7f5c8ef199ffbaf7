"""Trajectories as JSON lines: appended whole, read back as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from reasonenv.core import Problem, Reason, Trajectory, Verdict
from reasonenv.errors import UserError

_ARRAYS = {"prompt": "int64", "tokens": "int64", "roles": "int8", "logprobs": "float32", "rewards": "float32"}
_ARRAYS |= {"ends": "int64"}
_FIELDS = ("terminated", "truncated", "version", "noise")


class TrajectoryFile:
    """A file to append to. A last line that a crash cut short is taken away first."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)  # unbuffered: a line is one write, so a kill never tears it apart
        size = self._file.tell()
        self._file.truncate(_whole(path.read_bytes()) if size else 0)

    def append(self, trajectory: Trajectory) -> None:
        """Writes one line."""
        self._file.write(json.dumps(_record(trajectory)).encode() + b"\n")

    def close(self) -> None:
        self._file.close()


def _whole(raw: bytes) -> int:
    """How many bytes belong to complete lines."""
    return raw.rfind(b"\n") + 1


def _record(trajectory: Trajectory) -> dict[str, Any]:
    problem, verdict = trajectory.problem, trajectory.verdict
    return {
        "problem": {"id": problem.id, "question": problem.question, "answer": problem.answer, "steps": problem.steps},
        **{name: getattr(trajectory, name).tolist() for name in _ARRAYS},
        **{name: getattr(trajectory, name) for name in _FIELDS},
        "verdict": {
            "correct": verdict.correct,
            "reason": verdict.reason,
            "extracted": verdict.extracted,
            "gold": verdict.gold,
            "canonical": verdict.canonical,
        },
    }


def read_trajectories(path: str | Path) -> list[Trajectory]:
    """The trajectories of a file, `Problem.meta` left out. A last line without its end is left out too.

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
        problem, verdict = record["problem"], record["verdict"]
        read: dict[str, Any] = {name: np.array(record[name], dtype=kind) for name, kind in _ARRAYS.items()}
        read |= {name: record[name] for name in _FIELDS}
        return Trajectory(
            problem=Problem(**{**problem, "steps": tuple(problem["steps"])}),
            verdict=Verdict(**{**verdict, "reason": Reason(verdict["reason"])}),
            **read,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{where}: no trajectory ({type(error).__name__}: {error}); take the line out") from None
