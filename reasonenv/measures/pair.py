"""Two runs side by side: how they score on the same problems, and where they first part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from reasonenv.errors import UserError
from reasonenv.measures.comparisons import Contrast, Decision, contrasts
from reasonenv.measures.metrics import GREEDY, Scores, scores
from reasonenv.measures.questions import PROBLEMS, by_question, question_of, read_questions
from reasonenv.measures.records import LOG, MANIFEST, RUN
from reasonenv.measures.samples import EVALUATION, Sample, Samples, read_samples
from reasonenv.storage import read_record, read_rows
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
    one, other = _Evaluation(first), _Evaluation(second)
    shared = one.questions.keys() & other.questions.keys()
    if not shared:
        raise UserError(f"{first} and {second} answer no question in common; evaluate them on the same ones")
    fewest = min(one.fewest_drawn(shared), other.fewest_drawn(shared))
    ks = [2**i for i in range(fewest.bit_length())]
    before, after = one.scores(shared, ks), other.scores(shared, ks)
    metrics = [metric for metric in before if metric in after]
    comparisons = []
    for metric in metrics:
        rows = {"first": {0: before[metric]}, "second": {0: after[metric]}}
        family = 1 if metric == GREEDY else len(metrics) - 1
        for contrast in contrasts(rows, [("second", "first")], fixed=rows, family=family):
            comparisons.append(Comparison(metric, contrast.levels[1], contrast.levels[0], contrast))
    return comparisons


class _Evaluation:
    """The answers of a run by question: two tasks may give one id to different questions."""

    def __init__(self, folder: Path) -> None:
        path = folder / EVALUATION
        if not path.is_file():
            raise UserError(f"{folder} is not a finished run: it has no {EVALUATION}; train it to its end first")
        self.problems = read_questions(folder / PROBLEMS)
        self.questions: dict[str, list[Sample]] = {}
        for sample in read_samples(path):
            self.questions.setdefault(question_of(sample.problem_id, self.problems), []).append(sample)

    def fewest_drawn(self, questions: Iterable[str]) -> int:
        """How many sampled answers every problem has at least."""
        samples = self._samples(questions)
        return int(samples.count(samples.sampled).min())

    def scores(self, questions: Iterable[str], ks: Sequence[int]) -> Scores:
        """Every metric of these questions."""
        table = scores(self._samples(questions), ks)
        return {metric: by_question(values, self.problems) for metric, values in table.items()}

    def _samples(self, questions: Iterable[str]) -> Samples:
        return Samples.of(chain.from_iterable(self.questions[question] for question in sorted(questions)))


def differences(first: Path, second: Path) -> Iterator[str]:
    """What differs between two runs, in the order in which it would matter; nothing if they are the same run twice.

    Settings, code, versions and data, then the first row of numbers and the first answer that are not equal.
    """
    one, other = _record(first / RUN), _record(second / RUN)
    same_code = one.pop("code", None) == other.pop("code", None)
    yield from _fields("run", one, other)
    if not same_code:
        yield from differing_lines(first, second)
    yield from _fields("environment", _record(first / MANIFEST), _record(second / MANIFEST))
    yield from _first_row(first / LOG, second / LOG)
    yield from _first_answer(first, second)


def _first_row(first: Path, second: Path) -> Iterator[str]:
    """The first iteration whose numbers are not equal."""
    rows, others = _rows(first), _rows(second)
    for one, other in zip(rows, others, strict=False):
        row, other_row = _reproducible(one), _reproducible(other)
        if repr(row) != repr(other_row):  # nan is nan
            yield f"first different numbers: iteration {row.get('iteration')}"
            yield from _fields("  metrics", row, other_row)
            return
    if len(rows) != len(others):
        yield f"equal up to iteration {min(len(rows), len(others)) - 1}, where one of them ends"


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise UserError(f"{path.parent} is not the folder of a run that has begun: it has no {path.name}")
    return read_rows(path, whole=False)


def _record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path.parent} is not the folder of a run: it has no {path.name}")
    return read_record(path)


def _reproducible(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in MEASURED}


def _fields(name: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys((*first, *second)):
        a, b = first.get(key), second.get(key)
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
    one, other = _copies(first / CODE), _copies(second / CODE)
    for name in sorted({*one, *other}):
        if name not in other:
            yield f"code: {printable(name)} is a part of {first} alone"
        elif name not in one:
            yield f"code: {printable(name)} is a part of {second} alone"
        elif one[name].read_bytes() != other[name].read_bytes():
            lines, others = _lines(one[name]), _lines(other[name])
            at = 0
            while lines[at : at + 1] == others[at : at + 1] != []:
                at += 1
            yield f"code: {printable(name)} differs from line {at + 1} on"
            yield _shown(lines, at)
            yield _shown(others, at)


def _lines(path: Path) -> list[str]:
    return path.read_bytes().decode(errors="replace").split("\n")


def _shown(lines: Sequence[str], at: int) -> str:
    return f"  {lines[at]!r}" if at < len(lines) else "  (its end)"


def _copies(folder: Path) -> dict[str, Path]:
    """The files in a folder by name. Links lead out of it, so they are none."""
    copies = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            copies[path.relative_to(folder).as_posix()] = path
    return copies
