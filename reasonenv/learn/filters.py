"""Which samples are worth learning from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from reasonenv.core import Group, Trajectory


def correct(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """Those whose answer was verified as correct."""
    return [t for t in trajectories if t.verdict.correct]


def rewarded(trajectory: Trajectory) -> bool:
    """Whether every reward is a finite number."""
    return bool(np.isfinite(trajectory.rewards).all())


def usable(groups: Iterable[Group]) -> list[Group]:
    """The groups without the samples of which nothing is known: their verdict failed, or a reward is not finite.

    Such a sample is no wrong answer: it is in no baseline, no loss and no denominator.
    """
    kept = []
    for group in groups:
        rows = tuple(t for t in group.trajectories if rewarded(t) and t.verdict.checked)
        if rows:
            kept.append(replace(group, trajectories=rows))
    return kept


def nonconstant(groups: Iterable[Group]) -> list[Group]:
    """Those with both right and wrong answers, by the verdict, whatever the reward: 0 < #correct < G.

    The constraint of DAPO (2503.14476, equation 11).
    """
    return [g for g in groups if 0 < len(correct(g.trajectories)) < len(g.trajectories)]
