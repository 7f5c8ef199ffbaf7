"""Solved problems: of each held-out problem that training has solved, how likely the initial policy was to solve it so.

`winning.jsonl` keeps the most probable correct sample of the problem with its log-probability under the trained and
under the initial policy: exp(-initial_logp) is how many samples it would have taken to draw that very text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from reasonenv.errors import UserError
from reasonenv.storage import read_text, replace

SOLVED = "winning.jsonl"  # in the folder of a run


@dataclass(frozen=True)
class SolvedProblem:
    """The most probable correct sample of one problem after training. Log-probabilities are in nats, of the whole."""

    problem_id: str
    tokens: int
    logp: float
    initial_logp: float


def write_solved(path: Path, solved: Iterable[SolvedProblem]) -> None:
    """JSON lines, whole or absent."""
    replace(path, "".join(json.dumps(asdict(problem)) + "\n" for problem in solved))


def read_solved(path: Path) -> list[SolvedProblem]:
    """Raises `UserError` naming file and line for one that is broken."""
    solved = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            solved.append(TypeAdapter(SolvedProblem).validate_json(line))
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            raise UserError(f"{path}:{number}: not a winning solution ({message}); train again") from None
    return solved
