"""Stored answers: the one source from which every evaluation figure is computed, and can be computed again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reasonenv.core import ANSWERED, FAILURES, HARD_TO_VERIFY, BoolArray, IntArray
from reasonenv.measures.parquet import ADDED, read_records, read_table, to_records, to_table, write_records
from reasonenv.stats import Floats

if TYPE_CHECKING:
    import pyarrow as pa

EVALUATION = "evaluation.parquet"  # in the folder of a run: its answers after the last iteration


@dataclass(frozen=True)
class Sample:
    """One response to one held-out problem, with its verdict."""

    problem_id: str
    index: int  # among the samples of its problem
    greedy: bool  # the one answer of an agent, where others are samples of what it might answer
    correct: bool
    reason: str  # a value of `reasonenv.core.Reason`
    extracted: str | None
    length: int  # response tokens
    truncated: bool
    text: str
    canonical: str | None = None  # what the answer votes for: `Verdict.canonical`
    score: float | None = None  # by an outcome reward model, where one was asked
    logp: float | None = None  # of the whole, in nats, as it was sampled; of sampled answers
    initial_logp: float | None = None  # the same under the policy before training
    verdict_score: float | None = field(default=None, metadata=ADDED)  # `Verdict.score`: its partial credit
    metrics: Mapping[str, float] | None = field(default=None, metadata=ADDED)  # what the task measures itself
    # Whether something chose it among draws, or made it of parts of them: it counts as no sample of what is answered.
    selected: bool | None = field(default=None, metadata=ADDED)
    search_tokens: int | None = field(default=None, metadata=ADDED)  # drawn for it, those thrown away among them

    @property
    def verified(self) -> bool:
        """Whether answer and gold could be compared at all."""
        return self.reason not in FAILURES


class Samples:
    """The answers of one policy as columns: entry i of an array [n] is of answer i, entry p of one [P] of problem p.

    `problems` are the ids [P] and `problem` [n] says which of them an answer is to; so do `reasons` and `reason` of
    verdicts, `forms` and `form` of canonical answers. What an answer lacks is nan, and -1 among the places.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table  # rows of `Sample`
        self.problems, self.problem = self._encoded("problem_id")
        self.reasons, self.reason = self._encoded("reason")
        self.forms, self.form = self._encoded("canonical")
        self.index: IntArray = self._array("index")
        self.length: IntArray = self._array("length")
        self.greedy: BoolArray = self._array("greedy")
        self.correct: BoolArray = self._array("correct")
        self.truncated: BoolArray = self._array("truncated")
        self.score: Floats = self._array("score")
        self.logp: Floats = self._array("logp")
        self.initial_logp: Floats = self._array("initial_logp")
        scored: Floats = self._array("verdict_score")
        self.verdict_score = np.where(np.isnan(scored), self.correct, scored)  # before there were scores: right or not
        self.selected: BoolArray = self.table.column("selected").fill_null(False).to_numpy()
        self.search_tokens: Floats = self._array("search_tokens")

    @classmethod
    def of(cls, samples: Samples | Iterable[Sample]) -> Samples:
        """The columns of records."""
        return samples if isinstance(samples, Samples) else cls(to_table(Sample, samples))

    @cached_property
    def sampled(self) -> BoolArray:
        """Whether an answer is a draw of what the policy answers: neither greedy nor selected.  # [n]"""
        return ~self.greedy & ~self.selected

    @cached_property
    def verified(self) -> BoolArray:
        """Whether answer and gold could be compared at all.  # [n]"""
        return ~np.isin(self.reasons, FAILURES)[self.reason]

    @cached_property
    def hard_to_verify(self) -> BoolArray:
        """Whether an answer was not judged because of its problem.  # [n]"""
        return np.isin(self.reasons, HARD_TO_VERIFY)[self.reason]

    @cached_property
    def answered(self) -> BoolArray:
        """Whether an answer was given and compared.  # [n]"""
        return np.isin(self.reasons, ANSWERED)[self.reason]

    @cached_property
    def vote(self) -> IntArray:
        """Which of `forms` an answer votes for; -1 does not vote.  # [n]"""
        return np.where(self.answered, self.form, -1)

    @cached_property
    def drawn(self) -> int:
        """Sampled answers to a problem, at most."""
        return int(self.count(self.sampled).max(initial=0))

    def count(self, rows: BoolArray) -> IntArray:
        """How many answers to each problem `rows` [n] is true of.  # [P]"""
        return np.bincount(self.problem[rows], minlength=len(self.problems))

    def share(self, hits: BoolArray, among: BoolArray) -> Floats:
        """Of each problem the share of the answers `among` [n] that are `hits` [n]; nan of none.  # [P]"""
        return self.mean(hits, among)

    def mean(self, values: Floats | BoolArray, among: BoolArray) -> Floats:
        """Of each problem the mean of the `values` [n] of the answers `among` [n]; nan of none.  # [P]"""
        total = self.count(among)
        sums = np.bincount(self.problem[among], weights=values[among], minlength=len(self.problems))
        means = np.full(len(total), np.nan)
        np.divide(sums, total, out=means, where=total > 0)
        return means

    @cached_property
    def metrics(self) -> Mapping[str, Floats]:
        """The metrics of the task by name, nan where an answer has none.  # [n] each"""
        columns: dict[str, Floats] = {}
        for place, measured in enumerate(self.table.column("metrics").to_pylist()):
            for name, value in measured or ():
                columns.setdefault(name, np.full(len(self), np.nan))[place] = value
        return columns

    def by_problem(self, rows: BoolArray) -> Iterator[tuple[int, IntArray]]:
        """The problems that have answers of which `rows` [n] is true, each with the places of these."""
        places = np.flatnonzero(rows)
        order = places[np.argsort(self.problem[places], kind="stable")]
        present, starts = np.unique(self.problem[order], return_index=True)
        if len(present):
            yield from zip(present.tolist(), np.split(order, starts[1:]), strict=True)

    def texts(self) -> list[str]:
        """What was written.  # [n]"""
        texts: list[str] = self.table.column("text").to_pylist()
        return texts

    def records(self, problem: str) -> list[Sample]:
        """The answers to one problem as records."""
        if problem not in self.problems:
            return []
        places = np.flatnonzero(self.problem == self.problems.index(problem))
        return to_records(self.table.take(places), Sample)

    def __len__(self) -> int:
        return len(self.problem)

    def _array(self, name: str) -> Any:
        return self.table.column(name).to_numpy()

    def _encoded(self, name: str) -> tuple[tuple[str, ...], IntArray]:
        """The different values in the order in which they occur, and the place of each row's among them, or -1."""
        encoded = self.table.column(name).combine_chunks().dictionary_encode()
        return tuple(encoded.dictionary.to_pylist()), encoded.indices.fill_null(-1).to_numpy().astype(np.int64)


def hard_problems(samples: Iterable[Sample]) -> dict[str, str]:
    """The problems of which an answer was not judged because of the problem, by their ids, with the first reason."""
    hard: dict[str, str] = {}
    for sample in samples:
        if sample.reason in HARD_TO_VERIFY:
            hard.setdefault(sample.problem_id, sample.reason)
    return hard


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """A Parquet file, whole or absent. Errors: `OSError` of the disk."""
    write_records(path, Sample, samples)


def read_samples(path: Path) -> list[Sample]:
    """The samples of a file. Raises `UserError` naming a file that is absent or damaged, and what is wrong in it."""
    return read_records(path, Sample)


def load_samples(path: Path) -> Samples:
    """As `read_samples`, in columns: for files of many."""
    return Samples(read_table(path, Sample))
