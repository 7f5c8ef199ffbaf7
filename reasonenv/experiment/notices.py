"""What an initial policy's answers say before agents spend their budget: nothing to learn from, or nothing to gain.

A policy that answers nothing right earns no reward, so no algorithm that learns from rewards can be told from another.
One that answers nearly everything right within the largest k leaves no room in which they could differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from reasonenv.catalog import find_agent
from reasonenv.errors import UserError
from reasonenv.experiment.cells import BASELINE, Cell
from reasonenv.experiment.suite import Suite
from reasonenv.measures.metrics import summarise
from reasonenv.measures.records import Notice
from reasonenv.measures.samples import EVALUATION, Sample, Samples, load_samples

SATURATED = 0.97  # pass@k above which hardly anything is left to gain


def notice(samples: Samples | Sequence[Sample], ks: Sequence[int]) -> str | None:
    """What is to be said of the answers of an initial policy, in one line; None if they leave something to learn."""
    columns = Samples.of(samples)
    problems = len(columns.problems)
    if not columns.correct.any():
        return (
            f"the initial policy answers nothing right in {len(columns)} answers to {problems} problems, so "
            "rewards teach nothing; train it longer (inits), or take easier problems"
        )
    drawn = int(columns.count(columns.sampled).sum()) // problems
    most = max((k for k in ks if k <= drawn), default=None)
    if most is None:
        return None
    share = summarise(columns, [most])[f"pass@{most}"].value
    if share <= SATURATED:
        return None
    return (
        f"pass@{most} of the initial policy is {share:.3f}, so hardly anything is left to gain; take harder "
        "problems, or train it less (inits)"
    )


def measured(cell: Cell) -> bool:
    """Whether a cell is an initial policy as a row of a table."""
    return cell.agent == BASELINE and cell.shown


def cell_notice(cell: Cell, folder: Path, ks: Sequence[int]) -> Notice | None:
    """The notice on the initial policy of a cell that is done, with the table that it belongs to."""
    text = notice(load_samples(folder / EVALUATION), ks)
    return None if text is None else Notice(cell.run.env, cell.init, cell.variant, text)


def refuse_without_signal(suite: Suite, answers: Mapping[str, Sequence[Sample]]) -> None:
    """Raises `UserError` if no agent of the suite can learn anything: no answer of any initial policy is right.

    `answers` are those of every initial policy, by the name of its cell. An agent that learns from reference solutions
    (sft) needs no right answer, and with `without_signal` the suite says itself that it goes on.
    """
    if suite.config.without_signal or any(sample.correct for sample in chain.from_iterable(answers.values())):
        return
    for cell in suite.cells:
        if cell.shown and not measured(cell) and issubclass(find_agent(cell.run.agent), find_agent("sft")):
            return
    raise UserError(
        f"no answer of any initial policy of {suite.name} is right, and no agent learns from reference solutions: "
        f"train them longer (inits), take easier problems, add an agent sft, or write without_signal = true to go on"
    )
