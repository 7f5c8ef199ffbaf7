"""DAPO: GRPO with four repairs: clip higher, average over tokens, fill the batch with mixed groups, mind the length.

    J = E[ 1/(sum_i |o_i|) sum_i sum_t  min(r A, clip(r, 1 - low, 1 + high) A) ],   0 < #correct < G
    R = r + 1/2 overlong(|o|),   overlong = 0 up to 4/5 Lmax, then falling evenly to -1 at Lmax

Source: 2503.14476, equations 8 to 13. Differences: sampling on for groups that are neither all right nor all wrong ends
after ten times the batch, as in the authors' code, but with the groups found instead of an error; the average is over
the tokens of the batch, as in that code, where the equation has those of one question; no dual clip. The paper's
rewards are -1 and 1; with 0 and 1 the punishment counts half, so that it keeps its size beside the reward.
"""

from __future__ import annotations

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.learn.advantages import overlong, zscore
from reasonenv.learn.policy_gradient import DynamicSampling, PolicyGradientConfig
from reasonenv.learn.weights import token_mean
from reasonenv.settings import record, setting


@record
class DAPOConfig(PolicyGradientConfig):
    """The paper's numbers, but for the learning rate (1e-6) and the 512 problems."""

    samples_per_problem: int = setting(16, "G: samples a problem (paper: 16)")
    clip_low: float = setting(0.2, "eps_low: the ratio is clipped to 1 - eps_low (paper: 0.2)", gt=0)
    clip_high: float = setting(0.28, "eps_high: and to 1 + eps_high, room for rare tokens (paper: 0.28)", gt=0)
    longest: int = setting(256, "Lmax: punished in full, from 4/5 of it on; choose max_tokens (paper: 20480)", gt=0)

    least_samples = 2


class DAPO(DynamicSampling):
    """GRPO that clips higher, averages over tokens, samples on for mixed groups, and minds the length. 2503.14476."""

    Config = DAPOConfig
    config: DAPOConfig
    loss_scales_with_advantage = True

    def advantage(self, batch: Batch) -> Tensor:
        shaped = batch.rewards.sum(dim=1) + 0.5 * overlong(batch.length, limit=self.config.longest)
        return zscore(shaped, batch.group, ddof=1, eps=1e-6)[:, None]

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return self.clipped_loss(logp, micro, advantage, low=self.config.clip_low, high=self.config.clip_high)

    def weights(self, batch: Batch) -> Tensor:
        return token_mean(batch.mask)
