"""GRPO with process supervision: the reward of every step counts, and a token answers for the steps that it leads to.

    A_t = sum_(steps j that end at t or later) (r_j - mean) / std,    mean and std over all steps of the G siblings

Source: DeepSeekMath, 2402.03300, section 4.1.3 ("GRPO+PS"); the loss is that of `grpo`. Differences: those of `grpo`;
the paper's step rewards come from a learned model, here from the environment, so use `reward=dense`. With sparse ones
only the last step earns, and the others, all below the mean, count against the samples that have more of them.
"""

from __future__ import annotations

from torch import Tensor

from reasonenv.agents.grpo import GRPO
from reasonenv.core import Batch
from reasonenv.learn.advantages import process_zscore


class GRPOProcess(GRPO):
    """GRPO that standardises the rewards of steps and adds up those still to come. 2402.03300."""

    def advantage(self, batch: Batch) -> Tensor:
        assert batch.ends is not None, "collate marks the ends of steps"
        return process_zscore(batch.rewards, batch.ends, batch.group, ddof=1, eps=1e-6)
