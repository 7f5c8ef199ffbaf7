"""What an initial policy's answers say before agents spend their budget: nothing to learn from, or nothing to gain.

A policy that answers nothing right earns no reward, so no algorithm that learns from rewards can be told from another.
One that answers nearly everything right within the largest k leaves no room in which they could differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reasonenv.catalog import find_agent
from reasonenv.errors import UserError
from reasonenv.experiment.cells import BASELINE, Cell
from reasonenv.experiment.suite import Suite
from reasonenv.measures.metrics import summarise
from reasonenv.measures.samples import EVALUATION, Sample, read_samples

SATURATED = 0.97  # pass@k above which hardly anything is left to gain


def notice(samples: Sequence[Sample], ks: Sequence[int]) -> str | None:
    """What is to be said of the answers of an initial policy, in one line; None if they leave something to learn."""
    problems = len({sample.problem_id for sample in samples})
    if not any(sample.correct for sample in samples):
        return (
            f"the initial policy answers nothing right in {len(samples)} answers to {problems} problems, so "
            "rewards teach nothing; train it longer (inits), or take easier problems"
        )
    drawn = sum(not sample.greedy for sample in samples) // problems
    within = [k for k in ks if k <= drawn]
    if not within:
        return None
    most = max(within)
    share = summarise(samples, [most])[f"pass@{most}"].value
    if share <= SATURATED:
        return None
    return (
        f"pass@{most} of the initial policy is {share:.3f}, so hardly anything is left to gain; take harder "
        "problems, or train it less (inits)"
    )


def measured(cell: Cell) -> bool:
    """Whether a cell is an initial policy as a row of a table."""
    return cell.agent == BASELINE and cell.shown


def cell_notice(cell: Cell, folder: Path, ks: Sequence[int]) -> str | None:
    """The notice on the initial policy of a cell that is done, with the table that it belongs to."""
    told = notice(read_samples(folder / EVALUATION), ks)
    if told is None:
        return None
    variant = f", {cell.variant}" if cell.variant else ""
    return f"{cell.run.env}{variant}, init {cell.init}: {told}"


def refuse_without_signal(suite: Suite, answers: Mapping[str, Sequence[Sample]]) -> None:
    """Raises `UserError` if no agent of the suite can learn anything: no answer of any initial policy is right.

    `answers` are those of every initial policy, by the name of its cell. An agent that learns from reference solutions
    (sft) needs no right answer, and with `without_signal` the suite says itself that it goes on.
    """
    if suite.config.without_signal or any(s.correct for samples in answers.values() for s in samples):
        return
    agents = [cell for cell in suite.cells if cell.shown and not measured(cell)]
    if any(issubclass(find_agent(cell.run.agent), find_agent("sft")) for cell in agents):
        return
    raise UserError(
        f"no answer of any initial policy of {suite.name} is right, and no agent learns from reference solutions: "
        f"train them longer (inits), take easier problems, add an agent sft, or write without_signal = true to go on"
    )
