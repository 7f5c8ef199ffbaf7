"""Which samples are worth learning from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from reasonenv.core import Group, Trajectory
from reasonenv.verify.solution_path import equations

_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_NOISE = re.compile(r"[ ,$%]")


@lru_cache(maxsize=20_000)  # a policy repeats itself
def operations(text: str) -> tuple[str, ...]:
    """The arithmetic of a solution: its equations in their order, numbers in one way of writing.

    Two solutions with the same sequence are the same solution (2403.04642; RFT, 2308.01825). A text without any
    equation is its own words, lower-cased and evenly spaced. Takes time linear in the text.
    """
    steps = [f"{equation.left}={equation.result}" for equation in equations(text)]
    plain = [_NUMBER.sub(_plain, _NOISE.sub("", step)) for step in steps]
    return tuple(plain) or (" ".join(text.lower().split()),)


def _plain(number: re.Match[str]) -> str:
    """007.50 -> 7.5"""
    whole, _, fraction = number[0].partition(".")
    return ".".join(filter(None, (whole.lstrip("0") or "0", fraction.rstrip("0"))))


def correct(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """Those whose answer was verified as correct."""
    return [t for t in trajectories if t.verdict.correct]


def rewarded(trajectory: Trajectory) -> bool:
    """Whether every reward is a finite number."""
    return bool(np.isfinite(trajectory.rewards).all())


def sound(groups: Iterable[Group]) -> list[Group]:
    """The groups without the samples of which nothing is known: their verdict failed, or a reward is not finite.

    Such a sample is no wrong answer: it is in no baseline, no loss and no denominator.
    """
    kept = [(g, tuple(t for t in g.trajectories if rewarded(t) and t.verdict.checked)) for g in groups]
    return [replace(g, trajectories=rows) for g, rows in kept if rows]


def mixed(groups: Iterable[Group]) -> list[Group]:
    """Those with both right and wrong answers, by the verdict, whatever the reward: 0 < #correct < G.

    The constraint of DAPO (2503.14476, equation 11).
    """
    return [g for g in groups if 0 < len(correct(g.trajectories)) < len(g.trajectories)]
