"""Where an episode is, and where an action led."""

from __future__ import annotations

from dataclasses import dataclass

from reasonenv.core import Verdict


@dataclass(frozen=True)
class State:
    """Problem number `index`, the response tokens so far, and the seed of what the environment draws."""

    index: int
    tokens: tuple[int, ...] = ()
    noise: int = 0
    written: tuple[int, ...] = ()  # positions of the tokens that the environment wrote
    turn: int = 0  # where the answer begins: what stands before it is the history of other turns


@dataclass(frozen=True)
class Outcome:
    """Where some actions led, what they earned, the verdict if the episode is over, and how many were taken."""

    state: State
    terms: dict[str, float]
    verdict: Verdict | None
    taken: int
