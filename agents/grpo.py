"""Group Relative Policy Optimization: PPO without a critic, the baseline and the scale come from the G siblings.

    J = E[ 1/G sum_i 1/|o_i| sum_t  min(r A, clip(r, 1 - eps, 1 + eps) A) - beta k3(pi, ref) ],  A = (R_i - mean) / std

Source: DeepSeekMath, 2402.03300, equations 3 and 4, outcome supervision (section 4.1.2). Differences: the paper states
neither the ddof of std nor what is added to it (1 and 1e-6 here, as in verl), and never eps (0.2 here, as in PPO).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.errors import UserError
from reasonenv.learn.advantages import zscore
from reasonenv.learn.agent import PolicyGradient, PolicyGradientConfig, knob
from reasonenv.learn.kl import k3
from reasonenv.learn.surrogates import clipped
from reasonenv.learn.weights import sequence_mean
from reasonenv.policy.lm import Policy


@dataclass(frozen=True)
class GRPOConfig(PolicyGradientConfig):
    """The paper's numbers, but for the learning rate (1e-6 for 7B) and G (64)."""

    samples_per_problem: int = knob(16, "G: samples a problem (paper: 64)")
    clip: float = knob(0.2, "eps: the ratio is clipped to 1 - eps and 1 + eps (PPO: 0.2)")
    beta: float = knob(0.04, "beta: weight of the KL to the initial policy (paper: 0.04); 0 needs no reference model")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples_per_problem < 2:
            raise UserError(f"samples_per_problem is {self.samples_per_problem}; a group baseline needs at least 2")
        for name in ("clip", "beta"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 0")


class GRPO(PolicyGradient):
    """Clipped policy gradient, reward standardised within the group, KL in the loss. 2402.03300."""

    Config = GRPOConfig
    config: GRPOConfig

    def __init__(self, policy: Policy, config: GRPOConfig | None = None, *, seed: int = 0) -> None:
        super().__init__(policy, config, seed=seed)
        self.reference = policy.clone() if self.config.beta else None

    def prepare(self, batch: Batch) -> Batch:
        batch = super().prepare(batch)
        if self.reference is None:
            return batch
        ref_logp, _ = self.reference.score(
            batch, tokens_per_microbatch=self.config.tokens_per_microbatch, temperature=self.config.temperature
        )
        return replace(batch, ref_logp=ref_logp)

    def advantage(self, batch: Batch) -> Tensor:
        return zscore(batch.rewards.sum(dim=1), batch.group, ddof=1, eps=1e-6)[:, None]

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        eps, beta = self.config.clip, self.config.beta
        loss = clipped(logp, anchor=micro.old_logp, advantage=advantage, low=eps, high=eps)
        return loss if micro.ref_logp is None else loss + beta * k3(logp, micro.ref_logp)

    def weights(self, mask: Tensor) -> Tensor:
        return sequence_mean(mask)
