"""Verdicts of a whole batch. A verdict may wait for another process or a server, so several are waited for at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import call

from reasonenv.core import Trajectory
from reasonenv.verify.pool import shared

Episode = Callable[[], Trajectory]  # one that is over: verifies it


def verified(episodes: Sequence[Episode]) -> list[Trajectory]:
    """The trajectory of each episode, in their order, by as many threads as the pool of verifiers has workers.

    Verifier and rewards are called from several threads at once. Raises what one of them raises on the first such one.
    """
    with ThreadPoolExecutor(shared().workers) as executor:
        return list(executor.map(call, episodes))
