"""CISPO: clip the importance weight and not the update, so that no token ever loses its gradient.

    J = E[ 1/(sum_i |o_i|) sum_i sum_t  sg(min(r, cap)) A log pi ],   0 < #correct < G,   A = (R_i - mean) / std

Source: MiniMax-M1, 2506.13585, equations 4 and 5. Differences: the paper does not disclose its cap (ScaleRL found 4, 5
and 8 equally good); dynamic sampling is that of `dapo`.
"""

from __future__ import annotations

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.learn.advantages import zscore
from reasonenv.learn.losses import capped_importance
from reasonenv.learn.policy_gradient import DynamicSampling, PolicyGradientConfig
from reasonenv.learn.weights import token_mean
from reasonenv.settings import record, setting


@record
class CISPOConfig(PolicyGradientConfig):
    """There is no trust region: watch `gap/mean` and `ratio/moved`."""

    samples_per_problem: int = setting(16, "G: samples a problem (paper: 16)")
    cap: float = setting(5.0, "the largest weight, absolute (verl's 0.2 would be 1.2 here)", gt=0)

    least_samples = 2


class CISPO(DynamicSampling):
    """Policy gradient under a capped importance weight, no token dropped. 2506.13585."""

    Config = CISPOConfig
    config: CISPOConfig
    loss_scales_with_advantage = True

    def advantage(self, batch: Batch) -> Tensor:
        return zscore(batch.rewards.sum(dim=1), batch.group, ddof=1, eps=1e-6)[:, None]

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return self.capped(logp, anchor=micro.old_logp, advantage=advantage)

    def capped(self, logp: Tensor, *, anchor: Tensor, advantage: Tensor) -> Tensor:
        """The loss from the ratio to `anchor`; logs the share of tokens whose weight is the cap."""
        cap = self.config.cap
        self.log({"cap/fraction": ((logp - anchor).exp() > cap).float()})
        return capped_importance(logp, anchor=anchor, advantage=advantage, cap=cap)

    def weights(self, batch: Batch) -> Tensor:
        return token_mean(batch.mask)
