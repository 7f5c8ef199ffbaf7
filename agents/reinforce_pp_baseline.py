"""REINFORCE++ with a group baseline: centred within the group, then scaled over the batch.

    A = (R_i - mean_group), standardised over all tokens of the batch;      J as in `reinforce_pp`, - beta k2(pi, ref)

Source: 2501.03262, appendix A. Differences: those of `reinforce_pp`. The second mean is over tokens, so the advantages
of one group need not add up to 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reasonenv.agents.reinforce_pp import ReinforcePP, ReinforcePPConfig
from reasonenv.core import Batch
from reasonenv.learn.advantages import centered, whiten
from reasonenv.learn.losses import k2
from reasonenv.settings import record


@record
class ReinforcePPBaselineConfig(ReinforcePPConfig):
    """As REINFORCE++, with at least two siblings."""

    least_samples = 2


class ReinforcePPBaseline(ReinforcePP):
    """REINFORCE++ with the mean of the group as baseline, KL (k2) in the loss. 2501.03262."""

    Config = ReinforcePPBaselineConfig

    @property
    def loss_scales_with_advantage(self) -> bool:
        return not self.config.beta  # the KL in the loss is felt by every row

    def advantage(self, batch: Batch) -> Tensor:
        each = centered(batch.rewards.sum(dim=1), batch.group)[:, None]
        return whiten(each * torch.ones_like(batch.mask), batch.mask, ddof=1, eps=1e-8)

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        loss = super().surrogate(logp, micro, advantage)
        return loss if micro.ref_logp is None else loss + self.config.beta * k2(logp, micro.ref_logp)
