"""MaxRL: climb the log-likelihood of being correct, of which E[R] is only the first term.

    log p = - sum_(k >= 1) (1 - p)^k / k,      grad J = 1/K sum_i (r_i - K/G) grad log pi(y_i | x),    K = sum_i r_i

so A = (r - mean) / mean: (G - K) / K for a success, -1 for a failure, and 0 where nothing or everything succeeded.

Source: 2602.02710 and the authors' code. Differences: no 1e-6 is added to the mean, as groups without a success are
left out by name. That also leaves out their baseline, so the series ends after k = G - 1. As in the code, tokens are
averaged and not summed by sequence, so the gradient is exact only up to the lengths of the answers.
"""

from __future__ import annotations

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.learn import advantages
from reasonenv.learn.policy_gradient import PolicyGradient, PolicyGradientConfig
from reasonenv.learn.weights import token_mean
from reasonenv.settings import record, setting


@record
class MaxRLConfig(PolicyGradientConfig):
    """More samples, more terms of the series. Rare successes weigh up to G - 1, so keep `max_grad_norm`."""

    samples_per_problem: int = setting(16, "G: samples a problem (paper: 16 to 128)")
    clip: float = setting(0.2, "eps: the ratio is clipped to 1 - eps and 1 + eps (code: 0.2)", gt=0)

    least_samples = 2


class MaxRL(PolicyGradient):
    """Maximum likelihood of success: the score of the successes, averaged over them. 2602.02710."""

    Config = MaxRLConfig
    config: MaxRLConfig
    loss_scales_with_advantage = True

    def advantage(self, batch: Batch) -> Tensor:
        return advantages.maxrl(batch.rewards.sum(dim=1), batch.group)[:, None]

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return self.clipped_loss(logp, micro, advantage, low=self.config.clip, high=self.config.clip)

    def weights(self, batch: Batch) -> Tensor:
        return token_mean(batch.mask)
