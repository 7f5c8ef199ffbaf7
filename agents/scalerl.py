"""ScaleRL: the loss and the curriculum of the recipe that scaled best in a comparison of 400,000 GPU hours.

    J = E[ 1/N sum_x 1/(sum_g |y_g|) sum_i sum_t  sg(min(r, cap)) A log pi ],   r = pi / mu
    A = (R_i - mean_x) / std over the batch of (R_i - mean_x),   only problems with both right and wrong answers

A problem solved in at least 90 % of all its attempts so far is not asked again (no-positive-resampling).

Source: 2510.13786, section 4. Forced interruption of long thoughts is the environment's: `stochastic=interrupt:10000`;
the float32 head is in every policy of this package. Differences: no asynchronous pipeline; the ddof of std is not
stated (0 here). The paper's learning rate, 5e-7 after 100 warm-up steps, is for 8B parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from reasonenv.agents.cispo import CISPO, CISPOConfig
from reasonenv.core import Batch, Group
from reasonenv.learn.advantages import batch_scaled
from reasonenv.learn.agent import Budget, Metrics, Plan
from reasonenv.learn.history import PassRates
from reasonenv.learn.observer import SILENT, Observer
from reasonenv.learn.weights import prompt_mean
from reasonenv.policy.policy import Policy
from reasonenv.settings import record, setting


@record
class ScaleRLConfig(CISPOConfig):
    """The paper's cap (4, 5 and 8 were equally good) and G; it took 48 problems an iteration."""

    solved: float = setting(0.9, "problems with this share of right attempts are left out (paper: 0.9)", gt=0, le=1)


class ScaleRL(CISPO):
    """CISPO from the sampler's ratio, scaled over the batch, averaged over problems not yet solved. 2510.13786."""

    Config = ScaleRLConfig
    config: ScaleRLConfig
    loss_scales_with_advantage = True

    def __init__(self, policy: Policy, config: ScaleRLConfig | None = None, *, seed: int = 0) -> None:
        super().__init__(policy, config, seed=seed)
        self.history = PassRates()

    def plan(self, budget: Budget) -> Plan:
        return replace(super().plan(budget), exclude=self.history.at_least(self.config.solved))

    def learn(self, groups: Sequence[Group], budget: Budget, observer: Observer = SILENT) -> Metrics:
        self.history.add(groups)
        solved = {"problems/solved": float(len(self.history.at_least(self.config.solved)))}
        return super().learn(groups, budget, observer) | solved

    def groups_missing(self, groups: Sequence[Group]) -> int:
        return 0  # what teaches nothing is dropped and not replaced

    def advantage(self, batch: Batch) -> Tensor:
        return batch_scaled(batch.rewards.sum(dim=1), batch.group, ddof=0)[:, None]

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        return self.capped(logp, anchor=micro.sampled_logp, advantage=advantage)

    def weights(self, batch: Batch) -> Tensor:
        return prompt_mean(batch.mask, batch.group)

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | self.history.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        super().load_state_dict(state)
        self.history.load_state_dict(state)
