"""What an agent reports while it learns: where the run stands, and what it is doing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from reasonenv.core import Batch, Group


@dataclass(frozen=True)
class Budget:
    """How far a run has come."""

    iteration: int  # from 0
    iterations: int


class Observer:
    """Ignores everything. A subclass overrides the methods that it needs; none of them may change what is learned."""

    def doing(self, what: str) -> None:
        """A long `learn` has come to `what`."""

    def skipped_step(self, batch: Batch) -> None:
        """The optimiser step on `batch` was not taken, because its loss or gradient was not finite."""

    def update(self, budget: Budget, groups: Sequence[Group], advantage: Tensor) -> None:
        """An update begins from these groups, `advantage` being that of their rows.  # [B, T] or [B, 1]"""


SILENT = Observer()
