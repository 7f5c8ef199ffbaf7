"""Sharpening or discovery: of each problem that training has solved, what did the initial policy know of its solution?

For every held-out problem with a correct sample after training, `winning.jsonl` keeps the most probable such sample
with its log-probability under the trained and under the initial policy. Together with as many samples of the initial
policy this sorts the problems: already likely, unlikely but in support, never seen. The last is no proof of discovery:
exp(-initial_logp) is how many samples it would have taken to draw that very text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from reasonenv.core import Group, Trajectory
from reasonenv.errors import UserError
from reasonenv.evaluate.samples import Sample
from reasonenv.evaluate.scoring import token_scores
from reasonenv.learn.filters import correct
from reasonenv.policy.lm import Policy
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.storage import replace


class Origin(StrEnum):
    """Where a solved problem stood before training, by c correct of n samples of the initial policy."""

    LIKELY = "already likely"  # c >= n / 2
    SUPPORT = "unlikely but in support"  # 1 <= c < n / 2
    UNSEEN = "never seen"  # c = 0


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


def origins(found: Iterable[Win], initial: Iterable[Sample]) -> dict[str, Origin]:
    """Problem -> where it stood, for the solved problems that the initial policy was sampled on."""
    drawn: dict[str, list[bool]] = {}
    for sample in initial:
        if not sample.greedy and sample.verified:
            drawn.setdefault(sample.problem_id, []).append(sample.correct)
    return {win.problem_id: _origin(drawn[win.problem_id]) for win in found if win.problem_id in drawn}


def _origin(right: Sequence[bool]) -> Origin:
    if not any(right):
        return Origin.UNSEEN
    return Origin.LIKELY if 2 * sum(right) >= len(right) else Origin.SUPPORT
