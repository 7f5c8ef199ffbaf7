"""Verdicts of a whole batch. A verdict may wait for another process or a server, so several are waited for at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from reasonenv.core import Completion, Trajectory
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.verify.pool import shared


class Row(NamedTuple):
    """An episode that is over: what the policy chose in it, and the noise of its environment."""

    problem: int
    completion: Completion
    noise: int = 0


def verified(mdp: ReasoningMDP, rows: Sequence[Row]) -> list[Trajectory]:
    """The trajectory of each row, in their order, by as many threads as the pool of verifiers has workers.

    Verifier and rewards are called from several threads at once. Raises what one of them raises on the first such row.
    """

    def trajectory(row: Row) -> Trajectory:
        return mdp.trajectory(*row)

    with ThreadPoolExecutor(shared().workers) as executor:
        return list(executor.map(trajectory, rows))
