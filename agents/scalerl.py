"""ScaleRL: the loss of the recipe that scaled best in a comparison of 400,000 GPU hours.

    J = E[ 1/N sum_x 1/(sum_g |y_g|) sum_i sum_t  sg(min(r, cap)) A log pi ],   r = pi / mu
    A = (R_i - mean_x) / std over the batch of (R_i - mean_x),   only problems with both right and wrong answers

Source: 2510.13786, section 4. Differences: here are its loss, its advantage, its average over problems, its filter of
groups without contrast, and (in every policy of this package) the float32 head. Not here are problems dropped for good
once solved in 90 % of their attempts, the forced end of long thoughts, and the asynchronous pipeline. The ddof of std
is not stated (0 here).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from reasonenv.agents.cispo import CISPO
from reasonenv.core import Batch, Group
from reasonenv.learn.advantages import batch_scaled
from reasonenv.learn.surrogates import capped_importance
from reasonenv.learn.weights import prompt_mean


class ScaleRL(CISPO):
    """CISPO from the sampler's ratio, scaled over the batch, averaged over problems. 2510.13786."""

    def wanted(self, groups: Sequence[Group]) -> int:
        return 0  # what teaches nothing is dropped and not replaced

    def advantage(self, batch: Batch) -> Tensor:
        return batch_scaled(batch.rewards.sum(dim=1), batch.group, ddof=0)[:, None]

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return capped_importance(logp, anchor=micro.sampled_logp, advantage=advantage, cap=self.config.cap)

    def weights(self, batch: Batch) -> Tensor:
        return prompt_mean(batch.mask, batch.group)
