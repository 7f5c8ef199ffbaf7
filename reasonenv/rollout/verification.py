"""Verdicts of a whole batch. A verdict may wait for another process or a server, so several are waited for at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import call

from reasonenv.core import Trajectory
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.verify.pool import shared

Episode = Callable[[], Trajectory]  # one that is over: verifies it


def verified(mdp: ReasoningMDP, episodes: Sequence[Episode]) -> list[Trajectory]:
    """The trajectory of each episode of a process, in their order, by as many threads as the pool has workers.

    A user's verifier, rewards and metrics are called one after the other, in this thread: they may not be made for
    several, and in the main thread their time is limited. Raises what is raised on the first such episode.
    """
    if mdp.judged_by_users:
        return [episode() for episode in episodes]
    with ThreadPoolExecutor(shared().workers) as executor:
        return list(executor.map(call, episodes))
