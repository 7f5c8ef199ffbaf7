"""REINFORCE Leave-One-Out: the baseline of a sample is the mean reward of its siblings, so the gradient stays unbiased.

    grad J = E[ 1/G sum_i (R_i - 1/(G-1) sum_(j != i) R_j) grad log pi(y_i | x) ],   R = r - beta log(pi(y | x) / ref)

Source: 2402.14740 (after Kool et al., 2019). Differences: none known; TRL's trainer of that name clips the ratio of the
whole sequence, verl's that of the token, where the paper argues for plain REINFORCE.
"""

from __future__ import annotations

from torch import Tensor

from reasonenv.agents.reinforce import Reinforce, ReinforceConfig
from reasonenv.core import Batch
from reasonenv.learn.advantages import leave_one_out
from reasonenv.learn.policy_gradient import ReferenceConfig, Referenced
from reasonenv.settings import record, setting


@record
class RLOOConfig(ReferenceConfig, ReinforceConfig):
    """The paper's beta for TL;DR; it used 0.10 for HH, and G = 2 or 4."""

    samples_per_problem: int = setting(4, "G: samples a problem (paper: 2 and 4)")
    beta: float = setting(0.03, "beta: weight of the KL in the reward (paper: 0.03); 0 needs no reference model")

    least_samples = 2


class RLOO(Referenced, Reinforce):
    """REINFORCE with the mean of the siblings as baseline, KL in the reward. 2402.14740."""

    Config = RLOOConfig

    def advantage(self, batch: Batch) -> Tensor:
        return leave_one_out(self.penalised(batch).sum(dim=1), batch.group)[:, None]
