"""REINFORCE++: PPO without a critic, the advantage standardised over the whole batch instead of the group.

    A_t = (G_t - mean) / std over all tokens of the batch,    G_t = sum_(u >= t) (r_u - beta log(pi / ref)_u)
    J = E[ 1/|o| sum_t min(ratio A, clip(ratio, 1 - eps, 1 + eps) A) ]

Source: 2501.03262, equations 1 and 8 to 10; gamma = 1. Differences: ddof 1 and 1e-8 under the root, as in verl
(OpenRLHF: ddof 0). A group needs no siblings.
"""

from __future__ import annotations

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.learn.advantages import reward_to_go, whiten
from reasonenv.learn.policy_gradient import ReferenceConfig, Referenced
from reasonenv.learn.weights import sequence_mean
from reasonenv.settings import record, setting


@record
class ReinforcePPConfig(ReferenceConfig):
    """The paper's numbers (section 4.2.3)."""

    clip: float = setting(0.2, "eps: the ratio is clipped to 1 - eps and 1 + eps (paper: 0.2)", gt=0)
    beta: float = setting(0.001, "beta: weight of the KL to the initial policy (paper: 0.001); 0: no reference model")


class ReinforcePP(Referenced):
    """PPO without a critic, advantages standardised over the batch, KL in the reward. 2501.03262."""

    Config = ReinforcePPConfig
    config: ReinforcePPConfig

    @property
    def loss_scales_with_advantage(self) -> bool:
        return True

    def advantage(self, batch: Batch) -> Tensor:
        return whiten(reward_to_go(self.penalised(batch), gamma=1.0), batch.mask, ddof=1, eps=1e-8)

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return self.clipped_loss(logp, micro, advantage, low=self.config.clip, high=self.config.clip)

    def weights(self, batch: Batch) -> Tensor:
        return sequence_mean(batch.mask)
