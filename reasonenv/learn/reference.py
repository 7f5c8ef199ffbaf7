"""A policy gradient that is held near the policy it started from."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.learn.losses import k1
from reasonenv.learn.policy_gradient import PolicyGradient, PolicyGradientConfig
from reasonenv.policy.policy import Policy
from reasonenv.settings import record, setting


@record
class ReferenceConfig(PolicyGradientConfig):
    """Adds the strength of the hold."""

    beta: float = setting(0.0, "beta: weight of the KL to the initial policy; 0 needs no reference model", ge=0)


class Referenced(PolicyGradient):
    """Fills `ref_logp` of the batch, from a frozen copy of the initial policy, if `beta` is above 0."""

    Config = ReferenceConfig
    config: ReferenceConfig

    def __init__(self, policy: Policy, config: ReferenceConfig | None = None, *, seed: int = 0) -> None:
        super().__init__(policy, config, seed=seed)
        self.reference = policy.clone() if self.config.beta else None

    def prepare(self, batch: Batch) -> Batch:
        batch = super().prepare(batch)
        if self.reference is None:
            return batch
        return replace(batch, ref_logp=self.scored(self.reference, batch))

    def penalised(self, batch: Batch) -> Tensor:
        """Rewards with the KL of each token taken off, r_t - beta k1, at the policy that sampled.  # [B, T]"""
        if batch.ref_logp is None:
            return batch.rewards
        return batch.rewards - self.config.beta * k1(batch.old_logp, batch.ref_logp) * batch.mask
