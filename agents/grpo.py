"""Group Relative Policy Optimization: PPO without a critic, the baseline and the scale come from the G siblings.

    J = E[ 1/G sum_i 1/|o_i| sum_t  min(r A, clip(r, 1 - eps, 1 + eps) A) - beta k3(pi, ref) ],  A = (R_i - mean) / std

Source: DeepSeekMath, 2402.03300, equations 3 and 4, outcome supervision (section 4.1.2). Differences: the paper states
neither the ddof of std nor what is added to it (1 and 1e-6 here, as in verl), and never eps (0.2 here, as in PPO).
"""

from __future__ import annotations

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.learn.advantages import zscore
from reasonenv.learn.losses import k3
from reasonenv.learn.policy_gradient import ReferenceConfig, Referenced
from reasonenv.learn.weights import sequence_mean
from reasonenv.settings import record, setting


@record
class GRPOConfig(ReferenceConfig):
    """The paper's numbers, but for the learning rate (1e-6 for 7B) and G (64)."""

    samples_per_problem: int = setting(16, "G: samples a problem (paper: 64)")
    clip: float = setting(0.2, "eps: the ratio is clipped to 1 - eps and 1 + eps (PPO: 0.2)", gt=0)
    beta: float = setting(0.04, "beta: weight of the KL to the initial policy (paper: 0.04); 0: no reference model")

    least_samples = 2


class GRPO(Referenced):
    """Clipped policy gradient, reward standardised within the group, KL in the loss. 2402.03300."""

    Config = GRPOConfig
    config: GRPOConfig

    @property
    def loss_scales_with_advantage(self) -> bool:
        return not self.config.beta  # the KL in the loss is felt by every row

    def advantage(self, batch: Batch) -> Tensor:
        return zscore(batch.rewards.sum(dim=1), batch.group, ddof=1, eps=1e-6)[:, None]

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        loss = self.clipped_loss(logp, micro, advantage, low=self.config.clip, high=self.config.clip)
        return loss if micro.ref_logp is None else loss + self.config.beta * k3(logp, micro.ref_logp)

    def weights(self, batch: Batch) -> Tensor:
        return sequence_mean(batch.mask)
