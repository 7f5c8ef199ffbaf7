"""Where an episode is, and where an action led."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from reasonenv.core import Role, Verdict
from reasonenv.mdp.memory import Memory


@dataclass(frozen=True)
class State:
    """Problem number `index`, the response tokens so far, and the seed of what the environment draws.

    `memory` and `verdict` are what replies have left behind. Nothing that a state holds is ever changed, so any state
    can be stepped from again.
    """

    index: int
    tokens: tuple[int, ...] = ()
    noise: int = 0
    written: tuple[int, ...] = ()  # positions of the tokens that the environment wrote
    turns: tuple[int, ...] = ()  # where each turn behind a text of the environment begins
    memory: Memory = field(default=Memory(), compare=False, repr=False)
    verdict: Verdict | None = field(default=None, compare=False)  # of a reply that has judged the episode

    @property
    def turn(self) -> int:
        """Where the answer begins: what stands before it is the history of other turns."""
        return self.turns[-1] if self.turns else 0

    @property
    def by_policy(self) -> bool:
        """Whether the policy has written the last token."""
        return bool(self.tokens) and self.written[-1:] != (len(self.tokens) - 1,)

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
