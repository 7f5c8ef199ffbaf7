"""Whether the rollouts of a run hold anything to learn from, and what to do where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from reasonenv.core import Group
from reasonenv.learn.advantages import EQUAL
from reasonenv.learn.agent import Agent
from reasonenv.learn.method import Method

ENOUGH = 256  # rollouts from the beginning of a run, after which it is told that none of them teaches


def contrasting(agent: Agent, groups: Sequence[Group]) -> int:
    """How many sets of rollouts that the agent compares with each other have different rewards.

    Such a set is a group, or all the groups of an iteration where the baseline does not come from the siblings.
    """
    compared = [group.trajectories for group in groups]
    if getattr(agent.config, "least_samples", 1) < 2:
        compared = [tuple(chain.from_iterable(compared))]
    count = 0
    for trajectories in compared:
        returns = [t.ret for t in trajectories]
        count += bool(returns) and max(returns) - min(returns) > EQUAL
    return count


def missing_signal(method: Method, *, rollouts: int, right: int, contrasts: int) -> str | None:
    """Why a policy can have learned nothing from its rollouts so far, and what to do; None if it can.

    Imitation needs right answers, a policy gradient rewards that differ. A reward model learns from either.
    """
    if not rollouts or method.signal == "any":
        return None
    if not right:
        return (
            f"no right answer in {rollouts} rollouts: there is nothing to reinforce; train sft first, use easier "
            "problems, or see what reasonenv doctor says of the policy"
        )
    if contrasts or method.signal == "correct":
        return None
    if right == rollouts:
        return f"every one of {rollouts} rollouts is right: there is nothing left to learn; use harder problems"
    return (
        f"in {rollouts} rollouts no group has different rewards: nothing teaches; use more samples_per_problem, or "
        "problems that are sometimes solved"
    )
