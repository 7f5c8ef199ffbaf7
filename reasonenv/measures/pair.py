"""Two runs side by side: how they score on the same problems, and where they first part."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasonenv.errors import UserError
from reasonenv.measures.comparisons import Contrast, Decision, contrasts
from reasonenv.measures.metrics import GREEDY, Scores, scores
from reasonenv.measures.questions import PROBLEMS, HeldOutProblem, by_question, question_of, read_questions
from reasonenv.measures.samples import EVALUATION, Sample, read_samples
from reasonenv.storage import read_record
from reasonenv.terminal import printable

CODE = "code"  # folder in a run: the files of the code that it ran
MEASURED = ("seconds", "tokens_per_second", "memory")  # of the machine: all that may differ between two equal runs


@dataclass(frozen=True)
class Comparison:
    """One metric of two runs, paired by question."""

    metric: str
    first: float
    second: float
    contrast: Contrast  # second - first

    def conclusion(self, margin: float) -> str:
        """What the interval says of these two policies; differences below `margin` count as none."""
        words = {Decision.HIGHER: "B is higher", Decision.LOWER: "B is lower"}
        decision = self.contrast.decision(margin)
        return words.get(decision, str(decision))


def compare(first: Path, second: Path) -> list[Comparison]:
    """Every metric that both runs have, on the questions that both have answered: the second run minus the first.

    Each run is one trained policy with one seed, so the intervals are over other questions for these two policies;
    what other training seeds would do takes a suite. The greedy accuracy comes first and stands alone; the other
    metrics are one family. Raises `UserError` if a folder is no finished run or the two share no question.
    """
    asked = [read_questions(folder / PROBLEMS) for folder in (first, second)]
    answers = [_by_question(_samples(folder), known) for folder, known in zip((first, second), asked, strict=True)]
    shared = answers[0].keys() & answers[1].keys()
    if not shared:
        raise UserError(f"{first} and {second} answer no question in common; evaluate them on the same ones")
    kept = [[sample for question in sorted(shared) for sample in each[question]] for each in answers]
    fewest = min(map(_fewest_drawn, kept))
    ks = [2**i for i in range(fewest.bit_length())]
    tables = []
    for samples, known in zip(kept, asked, strict=True):
        table = scores(samples, ks)
        tables.append({metric: by_question(values, known) for metric, values in table.items()})
    metrics = [metric for metric in tables[0] if metric in tables[1]]
    comparisons = [_comparison(metric, tables, 1 if metric == GREEDY else len(metrics) - 1) for metric in metrics]
    return [comparison for comparison in comparisons if comparison is not None]


def _by_question(samples: Sequence[Sample], asked: Mapping[str, HeldOutProblem]) -> dict[str, list[Sample]]:
    """Question -> its answers. Two tasks may give one id to different questions."""
    answers: dict[str, list[Sample]] = {}
    for sample in samples:
        answers.setdefault(question_of(sample.problem_id, asked), []).append(sample)
    return answers


def _fewest_drawn(samples: Sequence[Sample]) -> int:
    """How many sampled answers every problem has at least."""
    counts = Counter(sample.problem_id for sample in samples if not sample.greedy)
    return min(counts[sample.problem_id] for sample in samples)


def _samples(folder: Path) -> list[Sample]:
    path = folder / EVALUATION
    if not path.is_file():
        raise UserError(f"{folder} is not a finished run: it has no {EVALUATION}; train it to its end first")
    return read_samples(path)


def _comparison(metric: str, tables: Sequence[Scores], family: int) -> Comparison | None:
    """None if no problem has the metric in both runs."""
    rows = {name: {0: table[metric]} for name, table in zip(("first", "second"), tables, strict=True)}
    contrasted = contrasts(rows, [("second", "first")], fixed=rows, family=family)
    if not contrasted:
        return None
    after, before = contrasted[0].levels
    return Comparison(metric, before, after, contrasted[0])


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


def differing_lines(first: Path, second: Path) -> Iterator[str]:
    """The files in the `code` of two runs that are not equal, each with its first line that is not."""
    one, other = (_copies(folder / CODE) for folder in (first, second))
    for name in sorted({*one, *other}):
        if name not in one or name not in other:
            yield f"code: {printable(name)} is a part of {first if name in one else second} alone"
        elif (a := one[name].read_bytes()) != (b := other[name].read_bytes()):
            lines, others = (text.decode(errors="replace").split("\n") for text in (a, b))
            same = [x == y for x, y in zip(lines, others, strict=False)]
            at = same.index(False) if False in same else len(same)
            yield f"code: {printable(name)} differs from line {at + 1} on"
            for side in (lines, others):
                yield f"  {side[at]!r}" if at < len(side) else "  (its end)"


def _copies(folder: Path) -> dict[str, Path]:
    """The files in a folder by name. Links lead out of it, so they are none."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {path.relative_to(folder).as_posix(): path for path in files}
