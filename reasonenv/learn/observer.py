"""Who watches a run: the log, the recorder of rollouts, and callbacks of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reasonenv.core import Batch, Group
from reasonenv.errors import UserError, title

if TYPE_CHECKING:
    from torch import Tensor


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

    def iteration(self, metrics: Mapping[str, Any]) -> bool | None:
        """An iteration has ended with these numbers, those of a row of `metrics.jsonl`. False stops the run.

        Everything is saved then, and the same command, or `Run.resume`, goes on.
        """
        return None


SILENT = Observer()


class _Function(Observer):
    """A function of the metrics of every iteration."""

    def __init__(self, function: Callable[[Mapping[str, Any]], bool | None]) -> None:
        self.function = function

    def iteration(self, metrics: Mapping[str, Any]) -> bool | None:
        return self.function(metrics)


class Callbacks(Observer):
    """The user's observers and functions of the metrics as one observer. What they raise is a `UserError`."""

    def __init__(self, callbacks: Sequence[Observer | Callable[[Mapping[str, Any]], bool | None]]) -> None:
        self.names: dict[Observer, str] = {}
        if not isinstance(callbacks, Sequence):
            raise UserError(f"callbacks is {callbacks!r:.60}; it must be a list of them, perhaps of one")
        for callback in callbacks:
            if not isinstance(callback, Observer) and (isinstance(callback, type) or not callable(callback)):
                raise UserError(
                    f"callback {callback!r} is no reasonenv.Observer, nor a function of the metrics of an iteration"
                )
            observer = callback if isinstance(callback, Observer) else _Function(callback)
            self.names[observer] = title(callback)

    def doing(self, what: str) -> None:
        self._call("doing", what)

    def skipped_step(self, batch: Batch) -> None:
        self._call("skipped_step", batch)

    def update(self, budget: Budget, groups: Sequence[Group], advantage: Tensor) -> None:
        self._call("update", budget, groups, advantage)

    def iteration(self, metrics: Mapping[str, Any]) -> bool | None:
        """Asks all of them; False if one of them is False."""
        return False not in self._call("iteration", dict(metrics))

    def _call(self, method: str, *arguments: Any) -> list[Any]:
        results = []
        for observer, name in self.names.items():
            try:
                results.append(getattr(observer, method)(*arguments))
            except Exception as error:  # of the user's own code
                raise UserError(
                    f"callback {name} failed in {method}: {type(error).__name__}: {error}; mend it, and the same "
                    "command goes on from the last checkpoint"
                ) from error
        return results
