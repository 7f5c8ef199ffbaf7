"""A learned judge of trajectories: what an outcome reward model says of each step, and rewards made of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from reasonenv.core import FloatArray, Group, Trajectory
from reasonenv.errors import unknown
from reasonenv.policy.collate import collate
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.policy.value_head import Scorer

PLACEMENTS = ("sparse", "dense")  # at the end of the response, or at the end of each step


def score_steps(
    scorer: Scorer, trajectories: Sequence[Trajectory], *, tokens_per_microbatch: int = TOKENS_PER_MICROBATCH
) -> list[FloatArray]:
    """The score of every prefix that ends with a step; the last is that of the whole response.  # [S] each"""
    if not trajectories:
        return []
    batch = collate([Group(t.problem, (t,)) for t in trajectories], pad=scorer.trunk.tokenizer.eos_id)
    scores = scorer.scores(batch, tokens_per_microbatch=tokens_per_microbatch).numpy()
    return [row[t.ends] for row, t in zip(scores, trajectories, strict=True)]


def rewarded_by(
    scorer: Scorer, groups: Sequence[Group], *, placement: str, tokens_per_microbatch: int = TOKENS_PER_MICROBATCH
) -> list[Group]:
    """The groups with rewards by `scorer` instead of the environment's (2403.04642, ORM rewards).

    `sparse`: the score of the whole response, at its end. `dense`: by how much each step raised the score, from 0; the
    return is the same. Verdicts stay. Raises `UserError` for another word.
    """
    if placement not in PLACEMENTS:
        raise unknown("reward of an orm", placement, PLACEMENTS)
    rescored = []
    trajectories = [t for group in groups for t in group.trajectories]
    scores = iter(score_steps(scorer, trajectories, tokens_per_microbatch=tokens_per_microbatch))
    for group in groups:
        rows = [_with_rewards(t, next(scores), placement) for t in group.trajectories]
        rescored.append(replace(group, trajectories=tuple(rows)))
    return rescored


def _with_rewards(t: Trajectory, scores: FloatArray, placement: str) -> Trajectory:
    """The trajectory with rewards made of the scores of its steps [S]."""
    rewards = np.zeros_like(t.rewards)
    if placement == "dense":
        rewards[t.ends] = np.diff(scores, prepend=np.float32(0))
    else:
        rewards[-1] = scores[-1]
    return replace(t, rewards=rewards)
