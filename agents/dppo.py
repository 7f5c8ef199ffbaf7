"""DPPO: no box around the ratio, but a mask where the policy has really moved too far from the sampler.

    J = E_mu[ 1/(G Lmax) sum_i sum_t  M r A ],    r = pi / mu,    A = R_i - mean
    M = 0 where D > delta and (A > 0 and r > 1, or A < 0 and r < 1), else 1

D is the total variation |mu(a) - pi(a)|, or the KL divergence, between "this token" and "any other".

Source: 2602.04879, equations 12 to 14. Differences: the divergence over the top-K tokens (equations 15 and 16, `top_tv`
and `top_kl`) is not offered, as a sampler returns the log-prob of the sampled token alone; the paper measured no gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.errors import UserError, unknown
from reasonenv.learn.advantages import centered
from reasonenv.learn.agent import PolicyGradient, PolicyGradientConfig, knob
from reasonenv.learn.surrogates import binary_kl, binary_tv, divergence_masked
from reasonenv.learn.weights import constant

DIVERGENCES = {"tv": (binary_tv, 0.2), "kl": (binary_kl, 0.05)}  # and delta of the main runs (appendix F.3)


@dataclass(frozen=True)
class DPPOConfig(PolicyGradientConfig):
    """The paper's numbers, but for the learning rate (1e-6) and G (16)."""

    divergence: str = knob("tv", "D: tv or kl")
    limit: float | None = knob(None, "delta (none: the paper's, 0.2 for tv and 0.05 for kl)")
    divisor: int = knob(256, "Lmax: the constant that divides a sequence's sum; choose about max_tokens")

    positive: ClassVar[tuple[str, ...]] = (*PolicyGradientConfig.positive, "divisor")
    least_samples: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.divergence not in DIVERGENCES:
            raise unknown("divergence", self.divergence, DIVERGENCES)
        if self.limit is not None and not self.limit > 0:
            raise UserError(f"limit is {self.limit}; it must be greater than 0, or none for the paper's")


class DPPO(PolicyGradient):
    """Policy gradient from the sampler's ratio, masked where the divergence is too large. 2602.04879."""

    Config = DPPOConfig
    config: DPPOConfig

    def advantage(self, batch: Batch) -> Tensor:
        return centered(batch.rewards.sum(dim=1), batch.group)[:, None]

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        measure, usual = DIVERGENCES[self.config.divergence]
        limit, mu = self.config.limit, micro.sampled_logp
        return divergence_masked(
            logp,
            anchor=mu,
            advantage=advantage,
            divergence=measure(logp, mu),
            limit=usual if limit is None else limit,
        )

    def weights(self, batch: Batch) -> Tensor:
        return constant(batch.mask, length=self.config.divisor)
