"""Two runs side by side: how they score on the same problems, and where they first part."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reasonenv.errors import UserError
from reasonenv.evaluate.comparisons import Spread, spread
from reasonenv.evaluate.identity import differing_lines
from reasonenv.evaluate.metrics import scores
from reasonenv.evaluate.samples import EVALUATION, Sample, read_samples
from reasonenv.evaluate.stats import Estimate, paired_difference
from reasonenv.learn.log import MEASURED
from reasonenv.storage import read_record


@dataclass(frozen=True)
class Comparison:
    """One metric of two runs, paired by problem."""

    metric: str
    first: float
    second: float
    difference: Estimate  # first - second
    spread: Spread  # of the same difference


def compare(first: Path, second: Path) -> list[Comparison]:
    """Every metric that both runs have, on the problems that both have answered.

    Raises `UserError` if a folder is no finished run or the two share no problem.
    """
    a, b = (_samples(folder) for folder in (first, second))
    shared = {s.problem_id for s in a} & {s.problem_id for s in b}
    if not shared:
        raise UserError(f"{first} and {second} answer no problem in common; evaluate them on the same ones")
    counts = [Counter(s.problem_id for s in samples if not s.greedy) for samples in (a, b)]
    fewest = min(count[problem] for count in counts for problem in shared)
    ks = [2**i for i in range(fewest.bit_length())]
    mine, theirs = (scores([s for s in samples if s.problem_id in shared], ks) for samples in (a, b))
    return [_comparison(metric, mine[metric], theirs[metric]) for metric in mine if metric in theirs]


def _samples(folder: Path) -> list[Sample]:
    path = folder / EVALUATION
    if not path.is_file():
        raise UserError(f"{folder} is not a finished run: it has no {EVALUATION}; train it to its end first")
    return read_samples(path)


def _comparison(metric: str, mine: Mapping[str, float], theirs: Mapping[str, float]) -> Comparison:
    problems = sorted(mine.keys() & theirs.keys())
    a, b = (np.array([table[p] for p in problems]) for table in (mine, theirs))
    return Comparison(metric, float(a.mean()), float(b.mean()), paired_difference(a, b), spread(a - b))


def differences(first: Path, second: Path) -> Iterator[str]:
    """What differs between two runs, in the order in which it would matter; nothing if they are the same run twice.

    Settings, code, versions and data, then the first row of numbers and the first answer that are not equal.
    """
    settings, others = (_record(folder / "run.json") for folder in (first, second))
    hashes, other_hashes = (record.pop("code", None) for record in (settings, others))
    yield from _fields("run", settings, others)
    if hashes != other_hashes:
        yield from differing_lines(first, second)
    yield from _fields("environment", *(_record(folder / "environment.json") for folder in (first, second)))
    rows = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (first, second)]
    for line, other in zip(*rows, strict=False):
        a, b = (_plain(json.loads(text)) for text in (line, other))
        if repr(a) != repr(b):  # nan is nan
            yield f"first different numbers: iteration {a.get('iteration')}"
            yield from _fields("  metrics", a, b)
            break
    else:
        if len(rows[0]) != len(rows[1]):
            yield f"equal up to iteration {min(map(len, rows)) - 1}, where one of them ends"
    yield from _first_answer(first, second)


def _record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path.parent} is not the folder of a run: it has no {path.name}")
    return read_record(path)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in MEASURED}


def _fields(name: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys((*mine, *theirs)):
        a, b = mine.get(key), theirs.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _fields(f"{name}.{key}", a, b)
        elif repr(a) != repr(b):  # nan is nan
            yield f"{name}.{key}: {a!r} | {b!r}"


def _first_answer(first: Path, second: Path) -> Iterator[str]:
    for path in sorted((first / "evaluations").glob("*.parquet")):
        other = second / "evaluations" / path.name
        if not other.is_file():
            return
        for a, b in zip(read_samples(path), read_samples(other), strict=False):
            if a != b:
                yield f"first different answer: after {int(path.stem)} iterations, problem {a.problem_id}"
                yield f"  {a.text!r}"
                yield f"  {b.text!r}"
                return
