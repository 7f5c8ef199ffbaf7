"""Stored answers: the one source from which every evaluation figure is computed, and can be computed again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reasonenv.core import FAILURES
from reasonenv.measures.parquet import read_records, write_records

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

    @property
    def verified(self) -> bool:
        """Whether answer and gold could be compared at all."""
        return self.reason not in FAILURES


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """A Parquet file, whole or absent. Errors: `OSError` of the disk."""
    write_records(path, Sample, samples)


def read_samples(path: Path) -> list[Sample]:
    """The samples of a file. Raises `UserError` naming a file that is absent or damaged, and what is wrong in it."""
    return read_records(path, Sample)
