"""Majority vote over the initial policy, which learns nothing: what more samples alone buy (maj@k).

    answer = argmax_a #{k : ans(S_k) = a},   S_k ~ pi_0(. | Q)

Source: 2203.11171 (self-consistency). Differences: none; answers are equal if their values are, responses without an
answer do not vote, and of tied answers the one given first counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from reasonenv.core import Reason, Verdict
from reasonenv.evaluate.metrics import vote_key
from reasonenv.learn.fixed import Fixed


class Majority(Fixed):
    """Answers with the most frequent of k samples of the initial policy; learns nothing. 2203.11171."""

    @staticmethod
    def choose(verdicts: Sequence[Verdict]) -> int:
        answered = [v.reason in (Reason.CORRECT, Reason.WRONG) for v in verdicts]
        keys = [vote_key(v.extracted) if own else None for v, own in zip(verdicts, answered, strict=True)]
        votes = Counter(key for key in keys if key is not None)
        return max(range(len(keys)), key=lambda i: votes[keys[i]])  # the first of the largest
