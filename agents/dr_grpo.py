"""Dr. GRPO: GRPO done right, without the two divisions that favour long wrong answers and questions of little spread.

    J = E[ 1/G sum_i 1/Lmax sum_t  min(r A, clip(r, 1 - eps, 1 + eps) A) ],   A = R_i - mean

Source: 2503.20783, section 3.2, and the released code, which divides by the generation budget. Differences: none known.
The mean holds the sample itself, so the expected gradient is (G - 1) / G of that of E[R] / Lmax.
"""

from __future__ import annotations

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.learn.advantages import centered
from reasonenv.learn.policy_gradient import PolicyGradient, PolicyGradientConfig
from reasonenv.learn.weights import constant
from reasonenv.settings import record, setting


@record
class DrGRPOConfig(PolicyGradientConfig):
    """The paper's numbers, but for the learning rate (1e-6) and Lmax (3000)."""

    clip: float = setting(0.2, "eps: the ratio is clipped to 1 - eps and 1 + eps (paper: 0.2)", gt=0)
    divisor: int = setting(256, "Lmax: the constant that divides a sequence's sum; choose about max_tokens", gt=0)

    least_samples = 2


class DrGRPO(PolicyGradient):
    """GRPO without its length and difficulty biases: centred reward, constant divisor. 2503.20783."""

    Config = DrGRPOConfig
    config: DrGRPOConfig
    loss_scales_with_advantage = True

    def advantage(self, batch: Batch) -> Tensor:
        return centered(batch.rewards.sum(dim=1), batch.group)[:, None]

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return self.clipped_loss(logp, micro, advantage, low=self.config.clip, high=self.config.clip)

    def weights(self, batch: Batch) -> Tensor:
        return constant(batch.mask, length=self.config.divisor)
