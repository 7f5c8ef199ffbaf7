"""A few rollouts of a run, token by token, for a person to look at.

RUN/rollouts/held_out.parquet    of the first held-out problems after training: the greedy answer and some sampled ones
RUN/rollouts/training.parquet    of an iteration before an evaluation, the last one at the end, with their advantages

Log-probabilities and entropies are those of the policy that wrote them, at temperature 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reasonenv.measures.parquet import read_records

HELD_OUT, TRAINING = "rollouts/held_out.parquet", "rollouts/training.parquet"
PROBLEMS = 24  # held-out ones, the first of the test split
SAMPLES = 2  # sampled answers to each of them
TRAINING_GROUPS, TRAINING_SAMPLES = 4, 4


@dataclass(frozen=True)
class Rollout:
    """One response; its tuples have an entry for each of its T tokens, nan where the environment wrote it."""

    source: str  # greedy, sampled or training
    problem_id: str
    question: str
    gold: str
    index: int  # among the samples of its problem
    correct: bool
    reason: str
    extracted: str | None
    truncated: bool
    tokens: tuple[str, ...]
    rewards: tuple[float, ...]
    logps: tuple[float, ...]
    entropies: tuple[float, ...] | None  # none behind goals, which stand between the tokens
    advantages: tuple[float, ...] | None  # of training alone


def read_rollouts(run: Path) -> list[Rollout]:
    """What a run keeps of them. Raises `UserError` naming a file that is damaged."""
    rollouts = list[Rollout]()
    for name in (HELD_OUT, TRAINING):
        if (run / name).is_file():
            rollouts += read_records(run / name, Rollout)
    return rollouts
