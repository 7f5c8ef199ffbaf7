"""Majority vote over the initial policy, which learns nothing: what more samples alone buy (maj@k).

    answer = argmax_a #{k : ans(S_k) = a},   S_k ~ pi_0(. | Q)

Source: 2203.11171 (self-consistency). Differences: none; answers are equal if their values are, responses without an
answer do not vote, and of tied answers the one given first counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from reasonenv.core import Reason, Trajectory
from reasonenv.evaluate.metrics import vote_key
from reasonenv.learn.fixed import Fixed


class Majority(Fixed):
    """Answers with the most frequent of k samples of the initial policy; learns nothing. 2203.11171."""

    def choose(self, trajectories: Sequence[Trajectory]) -> Trajectory:
        answered = [t for t in trajectories if t.verdict.reason in (Reason.CORRECT, Reason.WRONG)]
        if not answered:
            return trajectories[0]
        votes = Counter(vote_key(t.verdict.extracted) for t in answered)
        return max(answered, key=lambda t: votes[vote_key(t.verdict.extracted)])  # the first of the largest
