"""Majority vote over the initial policy, which learns nothing: what more samples alone buy (maj@k).

    answer = argmax_a #{k : ans(S_k) = a},   S_k ~ pi_0(. | Q)

Source: 2203.11171 (self-consistency). Differences: none; two answers are one if their `Verdict.canonical` is, responses
without an answer do not vote, and of tied answers the one given first counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from reasonenv.core import ANSWERED, Verdict
from reasonenv.learn.baseline import Baseline


class Majority(Baseline):
    """Answers with the most frequent of k samples of the initial policy; learns nothing. 2203.11171."""

    @staticmethod
    def choose(verdicts: Sequence[Verdict]) -> int:
        forms = [verdict.canonical if verdict.reason in ANSWERED else None for verdict in verdicts]
        votes = Counter(forms)
        votes[None] = 0
        return max(range(len(forms)), key=lambda i: votes[forms[i]])  # the first of the largest
