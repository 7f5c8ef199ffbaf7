"""Winning solutions: of each held-out problem that training has solved, how likely the initial policy was to write it.

`winning.jsonl` keeps the most probable correct sample of the problem with its log-probability under the trained and
under the initial policy: exp(-initial_logp) is how many samples it would have taken to draw that very text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from reasonenv.core import Group, Trajectory
from reasonenv.errors import UserError
from reasonenv.experiment.scoring import token_scores
from reasonenv.learn.filters import correct
from reasonenv.policy.hf_policy import Policy
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.storage import replace


@dataclass(frozen=True)
class Win:
    """The most probable correct sample of one problem after training. Log-probabilities are in nats, of the whole."""

    problem_id: str
    tokens: int
    logp: float
    initial_logp: float


def wins(groups: Sequence[Group], initial: Policy, *, tokens_per_microbatch: int = TOKENS_PER_MICROBATCH) -> list[Win]:
    """One `Win` for each group with a correct trajectory; the samples were drawn at temperature 1."""
    best = [max(right, key=_likelihood) for g in groups if (right := correct(g.trajectories))]
    if not best:
        return []
    alone = [Group(t.problem, (t,)) for t in best]
    logp, _ = token_scores(alone, initial, tokens_per_microbatch=tokens_per_microbatch)
    before = logp.sum(dim=1).tolist()
    return [Win(t.problem.id, len(t.tokens), _likelihood(t), known) for t, known in zip(best, before, strict=True)]


def _likelihood(t: Trajectory) -> float:
    return float(t.logprobs.sum(dtype=np.float64))


def write_wins(path: Path, found: Iterable[Win]) -> None:
    """JSON lines, whole or absent."""
    replace(path, "".join(json.dumps(asdict(win)) + "\n" for win in found))


def read_wins(path: Path) -> list[Win]:
    """Raises `UserError` naming file and line for one that is broken."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(Win(**json.loads(line)))
        except (json.JSONDecodeError, TypeError) as error:
            raise UserError(f"{path}:{number}: not a winning solution ({error}); train again") from None
    return found
