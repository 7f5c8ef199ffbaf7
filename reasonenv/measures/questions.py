"""Held-out problems as they are stored. A question that several of them ask counts once: its answers are dependent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from reasonenv.codec import encode_problem
from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.storage import read_text
from reasonenv.storage import replace as write

PLAIN = (str, bool, int, float, type(None))
PROBLEMS = "problems.jsonl"  # in the folder of a run or a suite: the held-out problems


class HeldOutProblem(NamedTuple):
    """A held-out problem, for a reader of stored samples. `columns` are those of its `meta` that are plain values."""

    question: str
    answer: str
    columns: Mapping[str, str | float | None] = MappingProxyType({})


def held_out_problems(problems: Iterable[Problem]) -> dict[str, HeldOutProblem]:
    """Problem id -> what it asks."""
    return {problem.id: HeldOutProblem(problem.question, problem.answer, _plain(problem.meta)) for problem in problems}


def _plain(meta: Mapping[Any, Any]) -> dict[str, str | float | None]:
    """The texts, numbers, truth values and nulls of a `meta` or of what is stored of it."""
    return {key: value for key, value in meta.items() if isinstance(key, str) and isinstance(value, PLAIN)}


def question_of(problem_id: str, problems: Mapping[str, HeldOutProblem]) -> str:
    """What a problem asks; its id, if nothing else is known of it."""
    return problems[problem_id].question if problem_id in problems else problem_id


def write_questions(path: Path, problems: Iterable[Problem]) -> None:
    """A JSON line a problem, as `codec` writes it, whole or absent. What of its `meta` no file can hold is left out."""
    lines = {}
    for problem in problems:
        lines[problem.id] = json.dumps(encode_problem(replace(problem, meta=_storable(problem))))
    write(path, "".join(f"{line}\n" for line in lines.values()))


def _storable(problem: Problem) -> dict[Any, Any]:
    """The part of its `meta` that a file can hold; an image, say, is none."""
    storable = {}
    for key, value in problem.meta.items():
        with suppress(UserError):
            encode_problem(replace(problem, meta={key: value}))
            storable[key] = value
    return storable


def read_questions(path: Path) -> dict[str, HeldOutProblem]:
    """Problem id -> what it asks; nothing if there is no such file. Raises `UserError` naming a broken line."""
    if not path.is_file():
        return {}
    problems = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line:
            continue
        try:
            record = json.loads(line)
            columns = _plain(record.get("meta", {}))
            problems[str(record["id"])] = HeldOutProblem(str(record["question"]), str(record["answer"]), columns)
        except (AttributeError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise UserError(
                f"{path}:{number}: not a JSON object of a problem ({type(error).__name__}: {error})"
            ) from None
    return problems


def by_question(values: Mapping[str, float], problems: Mapping[str, HeldOutProblem]) -> dict[str, float]:
    """Question -> the mean of the problems that ask it, from problem id -> value; an unknown problem is its id."""
    grouped: dict[str, list[float]] = {}
    for problem, value in values.items():
        grouped.setdefault(question_of(problem, problems), []).append(value)
    return {question: sum(group) / len(group) for question, group in grouped.items()}
