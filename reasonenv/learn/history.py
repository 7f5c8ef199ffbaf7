"""How often each problem has been solved so far: what an agent may remember of the problems themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable

import torch
from torch import Tensor

from reasonenv.core import Group
from reasonenv.learn.filters import correct

PREFIX = "history."


class PassRates:
    """Right answers and attempts of every problem met, by the verdict, over the whole run."""

    def __init__(self) -> None:
        self.counts: dict[str, tuple[int, int]] = {}  # problem id -> right, attempts

    def add(self, groups: Iterable[Group]) -> None:
        """Counts the trajectories of these groups, but for those that could not be judged."""
        for group in groups:
            rows = [t for t in group.trajectories if t.verdict.checked]
            if rows:
                right, attempts = self.counts.get(group.problem.id, (0, 0))
                self.counts[group.problem.id] = (right + len(correct(rows)), attempts + len(rows))

    def at_least(self, rate: float) -> frozenset[str]:
        """The ids of the problems solved in this share of their attempts, or more often."""
        return frozenset(name for name, (right, attempts) in self.counts.items() if right >= rate * attempts)

    def state_dict(self) -> dict[str, Tensor]:
        """The ids as JSON, and a row of numbers for each."""
        names = torch.frombuffer(bytearray(json.dumps(list(self.counts)).encode()), dtype=torch.uint8)
        numbers = torch.tensor(list(self.counts.values()), dtype=torch.int64).reshape(-1, 2)
        return {f"{PREFIX}problems": names, f"{PREFIX}counts": numbers}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`, from a state that may hold other tensors too."""
        names = json.loads(bytes(state[f"{PREFIX}problems"].tolist()))
        rows = state[f"{PREFIX}counts"].tolist()
        self.counts = {name: (right, attempts) for name, (right, attempts) in zip(names, rows, strict=True)}
