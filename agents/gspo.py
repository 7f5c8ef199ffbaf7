"""GSPO: one ratio a sequence, the geometric mean over its tokens, because the reward is one number a sequence.

    J = E[ 1/G sum_i  min(s_i A, clip(s_i, 1 - low, 1 + high) A) ],   s_i = (pi(y_i | x) / old(y_i | x))^(1 / |y_i|)

Source: 2507.18071, equations 5 and 7. Differences: as in `grpo`, ddof 1 and 1e-6 in the standardised advantage.
"""

from __future__ import annotations

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.learn.advantages import zscore
from reasonenv.learn.losses import clip_fractions, sequence_clipped, sequence_ratio
from reasonenv.learn.policy_gradient import PolicyGradient, PolicyGradientConfig
from reasonenv.learn.weights import sequence_mean
from reasonenv.settings import record, setting


@record
class GSPOConfig(PolicyGradientConfig):
    """The paper's numbers. Its edges are a thousandth of PPO's, as the ratio is a mean over tokens."""

    samples_per_problem: int = setting(16, "G: samples a problem")
    clip_low: float = setting(3e-4, "the sequence ratio is clipped to 1 - this (paper: 3e-4)", gt=0)
    clip_high: float = setting(4e-4, "and to 1 + this (paper: 4e-4; ScaleRL needed 4e-3)", gt=0)

    least_samples = 2


class GSPO(PolicyGradient):
    """GRPO with one clipped ratio a sequence. 2507.18071."""

    Config = GSPOConfig
    config: GSPOConfig
    loss_scales_with_advantage = True

    def advantage(self, batch: Batch) -> Tensor:
        return zscore(batch.rewards.sum(dim=1), batch.group, ddof=1, eps=1e-6)[:, None]

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        low, high, old, mask = self.config.clip_low, self.config.clip_high, micro.old_logp, micro.mask
        clips = clip_fractions(sequence_ratio(logp, old, mask), advantage=advantage, low=low, high=high)
        self.log({name: fraction.expand_as(logp) for name, fraction in clips.items()})
        return sequence_clipped(logp, anchor=old, advantage=advantage, mask=mask, low=low, high=high)

    def weights(self, batch: Batch) -> Tensor:
        return sequence_mean(batch.mask)
