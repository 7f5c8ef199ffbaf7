"""REINFORCE: raise the log-probability of what was sampled by what it earned. The floor of every comparison.

    grad J = E[ R(y) sum_t grad log pi(y_t | x, y_<t) ]

Source: Williams (1992). Differences: no baseline, so with rewards 0 and 1 it learns from successes alone; `rloo` is the
same with one.
"""

from __future__ import annotations

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.learn import losses
from reasonenv.learn.policy_gradient import PolicyGradient, PolicyGradientConfig
from reasonenv.learn.weights import sequence_sum
from reasonenv.settings import record


@record
class ReinforceConfig(PolicyGradientConfig):
    """Nothing is clipped and nothing corrected, so one step an iteration."""

    on_policy = True


class Reinforce(PolicyGradient):
    """The plain policy gradient: log-probabilities weighted by the return. Williams (1992)."""

    Config = ReinforceConfig
    loss_scales_with_advantage = True

    def advantage(self, batch: Batch) -> Tensor:
        return batch.rewards.sum(dim=1, keepdim=True).nan_to_num(0.0, 0.0, 0.0)

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return losses.reinforce(logp, advantage=advantage)

    def weights(self, batch: Batch) -> Tensor:
        return sequence_sum(batch.mask)
