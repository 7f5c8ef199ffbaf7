"""Where an episode is, and where an action led."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reasonenv.core import Role, Verdict


@dataclass(frozen=True)
class State:
    """Problem number `index`, the response tokens so far, and the seed of what the environment draws."""

    index: int
    tokens: tuple[int, ...] = ()
    noise: int = 0
    written: tuple[int, ...] = ()  # positions of the tokens that the environment wrote
    turn: int = 0  # where the answer begins: what stands before it is the history of other turns

    @property
    def roles(self) -> npt.NDArray[np.int8]:
        """Who wrote each response token.  # [T]"""
        roles = np.full(len(self.tokens), Role.POLICY, dtype=np.int8)
        roles[list(self.written)] = Role.ENVIRONMENT
        return roles


@dataclass(frozen=True)
class Outcome:
    """Where some actions led, what they earned, the verdict if the episode is over, and how many were taken."""

    state: State
    terms: dict[str, float]
    verdict: Verdict | None
    taken: int
