"""The best of k samples of the initial policy by the true verdict, which learns nothing: the ceiling pass@k.

    answer = S_k with R(S_k) = 1 if there is one,   S_k ~ pi_0(. | Q)

Source: pass@k, 2107.03374; as the ceiling of RL from a prior, 2403.04642. Differences: none. It looks at the reference
answer, so it is a bound for choosing among samples and no method.
"""

from __future__ import annotations

from collections.abc import Sequence

from reasonenv.core import Verdict
from reasonenv.learn.baseline import Baseline


class BestOfK(Baseline):
    """Answers right if any of k samples of the initial policy is (oracle); learns nothing. 2107.03374."""

    @staticmethod
    def choose(verdicts: Sequence[Verdict]) -> int:
        return next((i for i, verdict in enumerate(verdicts) if verdict.correct), 0)
