"""The answers of a baseline, chosen among samples that another run has stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace as with_
from pathlib import Path
from statistics import fmean

from reasonenv.catalog import find_agent
from reasonenv.core import Reason, Verdict
from reasonenv.experiment.claim import Claim
from reasonenv.experiment.config import RunConfig
from reasonenv.experiment.identity import code_of
from reasonenv.learn.baseline import Baseline
from reasonenv.measures.questions import PROBLEMS, HeldOutProblem, by_question, read_questions
from reasonenv.measures.records import SUMMARY
from reasonenv.measures.samples import EVALUATION, Sample, read_samples, write_samples
from reasonenv.stats import accuracy
from reasonenv.storage import replace


def choose(config: RunConfig, out: Path, stored: Path) -> None:
    """Leaves in `out` what `train` leaves of a baseline, from the samples in the folder `stored`.

    The chosen answer counts where the greedy one would, so it is stored as one; the summary compares the two.
    """
    kind = find_agent(config.agent)
    assert issubclass(kind, Baseline), "an agent that learns needs samples of its own"
    problems: dict[str, list[Sample]] = {}
    greedy: list[Sample] = []
    for sample in read_samples(stored / EVALUATION):
        if sample.greedy:
            greedy.append(sample)
        elif not sample.selected:
            problems.setdefault(sample.problem_id, []).append(sample)
    chosen = []
    for samples in problems.values():
        chosen.append(samples[kind.choose([_verdict(s) for s in samples])])
    questions = read_questions(stored / PROBLEMS)
    summary = {
        "before": _accuracy(greedy, questions),
        "after": _accuracy(chosen, questions),
        "problems": accuracy(chosen).judged,
        "seconds": 0.0,
    }
    with Claim(out, config, code_of(config)).hold():
        write_samples(out / EVALUATION, [with_(sample, index=0, greedy=True) for sample in chosen])
        replace(out / SUMMARY, json.dumps(summary, indent=1))


def _accuracy(samples: Sequence[Sample], questions: Mapping[str, HeldOutProblem]) -> float:
    """Over questions that could be scored: one answer a problem."""
    outcomes = {sample.problem_id: float(sample.correct) for sample in samples if sample.verified}
    return fmean(by_question(outcomes, questions).values()) if outcomes else accuracy(samples).value  # which raises


def _verdict(sample: Sample) -> Verdict:
    """The verdict on a stored sample; the gold answer is not stored with it."""
    return Verdict(Reason(sample.reason), sample.extracted, gold="", canonical=sample.canonical)
