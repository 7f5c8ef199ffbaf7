"""TailRL: MaxRL for graded rewards, the log-likelihood of reaching each level.

    J = integral over tau of log P(R >= tau),       A_(i) = sum_(j <= i) (r_(j) - r_(j-1)) G / (G - j + 1), centred

with r_(1) <= ... <= r_(G) sorted. On rewards 0 and 1 it is MaxRL, so use it where rewards are dense.

Source: Zanette-Labs/TailRL (code). Differences: as in `maxrl`, a level that no sample reached is left out with its
baseline, so each logarithm is a series of G - 1 terms; all but the advantage is taken from `maxrl`.
"""

from __future__ import annotations

from torch import Tensor

from reasonenv.agents.maxrl import MaxRL
from reasonenv.core import Batch
from reasonenv.learn.advantages import tail


class TailRL(MaxRL):
    """MaxRL at every level of a graded reward. Zanette-Labs (2026)."""

    def advantage(self, batch: Batch) -> Tensor:
        return tail(batch.rewards.sum(dim=1), batch.group)[:, None]
