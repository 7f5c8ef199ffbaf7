"""Rewards as functions of (state, next state). Each returns named terms, so a log can say what a return was made of.

All of them fall on events alone: the token that ends a step, and the one that ends the episode.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from reasonenv.core import Problem, Verdict
from reasonenv.verify.extract import step_value

STEP_SHARE = 0.5  # alpha: what all reference steps together are worth; the terminal reward is 1


@dataclass(frozen=True)
class Progress:
    """What a reward may see of a state: its text, whether it is an end, and the verdict if so."""

    text: str
    verdict: Verdict | None
    over: bool


Reward = Callable[[Problem, Progress, Progress], dict[str, float]]


def sparse(problem: Problem, before: Progress, after: Progress) -> dict[str, float]:
    """1 for a response that ends with the correct answer, else 0 (2403.04642, sparse)."""
    return {"correct": float(after.verdict is not None and after.verdict.correct)}


def matched_share(problem: Problem, state: Progress) -> float:
    """The share of the reference steps whose value stands at the end of some completed step of the response, in [0, 1].

    Values are matched as a multiset and in any order: a value repeated is not matched twice. Without reference steps it
    is 0.
    """
    reference = Counter(v for v in map(step_value, problem.steps) if v is not None)
    if not reference:
        return 0.0
    lines = state.text.split("\n")
    completed = lines if state.over else lines[:-1]
    given = Counter[Fraction](v for v in map(step_value, completed) if v is not None)
    return (reference & given).total() / reference.total()


def dense(problem: Problem, before: Progress, after: Progress) -> dict[str, float]:
    """Sparse, plus `STEP_SHARE` spread over the reference steps as they are reached (2403.04642, dense).

    The paper's exact matcher is not public; this one is order-free and counts no value twice.
    """
    gain = matched_share(problem, after) - matched_share(problem, before)
    return {**sparse(problem, before, after), "steps": STEP_SHARE * gain}


def potential(problem: Problem, before: Progress, after: Progress) -> dict[str, float]:
    """Sparse, plus the potential-based shaping F = Phi(s') - Phi(s) (Ng et al. 1999) with gamma 1.

    Phi is `STEP_SHARE` times the matched share and 0 where the episode is over, so shaping changes every return from
    one start by the same constant and no optimal policy.
    """
    phi = 0.0 if after.over else STEP_SHARE * matched_share(problem, after)
    return {**sparse(problem, before, after), "shaping": phi - STEP_SHARE * matched_share(problem, before)}


REWARDS: dict[str, Reward] = {"sparse": sparse, "dense": dense, "potential": potential}
