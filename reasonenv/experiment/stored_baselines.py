"""The answers of an agent that does not learn, chosen among samples that another run has stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace as with_
from pathlib import Path
from statistics import fmean

from reasonenv.catalog import find_agent
from reasonenv.core import Reason, Verdict
from reasonenv.experiment.claim import claim
from reasonenv.experiment.config import RunConfig
from reasonenv.experiment.identity import code_of
from reasonenv.learn.fixed import Fixed
from reasonenv.measures.questions import PROBLEMS, HeldOutProblem, by_question, read_questions
from reasonenv.measures.samples import EVALUATION, Sample, read_samples, write_samples
from reasonenv.stats import accuracy
from reasonenv.storage import replace


def choose(run: RunConfig, out: Path, stored: Path) -> None:
    """Leaves in `out` what `train` leaves of such an agent, from the samples in the folder `stored`.

    The chosen answer counts where the greedy one would, so it is stored as one; the summary compares the two.
    """
    kind = find_agent(run.agent)
    assert issubclass(kind, Fixed), "an agent that learns needs samples of its own"
    problems: dict[str, list[Sample]] = {}
    before: list[Sample] = []
    for sample in read_samples(stored / EVALUATION):
        (before if sample.greedy else problems.setdefault(sample.problem_id, [])).append(sample)
    chosen = [drawn[kind.choose(list(map(_verdict, drawn)))] for drawn in problems.values()]
    asked = read_questions(stored / PROBLEMS)
    summary = {name: _accuracy(side, asked) for name, side in (("before", before), ("after", chosen))}
    summary |= {"problems": accuracy(chosen).judged, "seconds": 0.0}
    with claim(out, run, code_of(run)):
        write_samples(out / EVALUATION, [with_(sample, index=0, greedy=True) for sample in chosen])
        replace(out / "summary.json", json.dumps(summary, indent=1))


def _accuracy(samples: Sequence[Sample], asked: Mapping[str, HeldOutProblem]) -> float:
    """Over questions that could be judged: one answer a problem."""
    judged = {sample.problem_id: float(sample.correct) for sample in samples if sample.verified}
    return fmean(by_question(judged, asked).values()) if judged else accuracy(samples).value  # which raises


def _verdict(sample: Sample) -> Verdict:
    """As it was given; the gold answer is not stored with each sample."""
    return Verdict(Reason(sample.reason), sample.extracted, gold="", canonical=sample.canonical)
