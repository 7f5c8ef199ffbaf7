"""DPPO: no box around the ratio, but a mask where the policy has really moved too far from the sampler.

    J = E_mu[ 1/(G Lmax) sum_i sum_t  M r A ],    r = pi / mu,    A = R_i - mean
    M = 0 where D > delta and (A > 0 and r > 1, or A < 0 and r < 1), else 1

D is the total variation or the KL divergence between mu and pi over "this token" and "any other" (`tv`, `kl`), or over
this token, the K likeliest others and the rest (`top_tv`, `top_kl`; the paper measured no gain).

Source: 2602.04879, equations 12 to 16. Differences: a sampler returns the log-prob of the sampled token alone, so for
the K others mu is the trainer's own at the start of the update.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from torch import Tensor

from reasonenv.core import Batch
from reasonenv.learn.advantages import centered
from reasonenv.learn.losses import binary_kl, binary_tv, divergence_mask, divergence_masked, top_kl, top_tv
from reasonenv.learn.policy_gradient import PolicyGradient, PolicyGradientConfig
from reasonenv.learn.weights import constant
from reasonenv.policy.policy import ResponseStates
from reasonenv.policy.top_tokens import likeliest, logprobs_of
from reasonenv.settings import record, setting

BINARY = {"tv": binary_tv, "kl": binary_kl}
TOP = {"top_tv": top_tv, "top_kl": top_kl}
DELTA = {"tv": 0.2, "kl": 0.05, "top_tv": 0.2, "top_kl": 0.05}  # of the main runs (appendix F.3)


@record
class DPPOConfig(PolicyGradientConfig):
    """The paper's numbers, but for the learning rate (1e-6) and G (16)."""

    divergence: Literal["tv", "kl", "top_tv", "top_kl"] = setting("tv", "D: tv, kl, top_tv or top_kl")
    limit: float | None = setting(None, "delta (none: the paper's, 0.2 for tv and 0.05 for kl)", gt=0)
    divisor: int = setting(256, "Lmax: the constant that divides a sequence's sum; choose about max_tokens", gt=0)
    top: int = setting(20, "K: likeliest tokens of top_tv and top_kl, beside the sampled one (paper: 20)", gt=0)

    least_samples = 2


class DPPO(PolicyGradient):
    """Policy gradient from the sampler's ratio, masked where the divergence is too large. 2602.04879."""

    Config = DPPOConfig
    config: DPPOConfig
    loss_scales_with_advantage = True

    def advantage(self, batch: Batch) -> Tensor:
        return centered(batch.rewards.sum(dim=1), batch.group)[:, None]

    def prepare(self, batch: Batch) -> Batch:
        batch, c = super().prepare(batch), self.config
        if c.divergence in BINARY:
            return batch
        size, temperature = c.tokens_per_microbatch, c.temperature
        tokens, logp = likeliest(self.policy, batch, count=c.top, tokens_per_microbatch=size, temperature=temperature)
        logp[..., 0] = batch.sampled_logp
        return replace(batch, top=tokens, top_logp=logp)

    def measure(self, states: ResponseStates, micro: Batch) -> Batch:
        if micro.top is None or micro.top_logp is None:
            return micro
        now = logprobs_of(self.policy, states, micro.top, temperature=self.config.temperature)
        return replace(micro, divergence=TOP[self.config.divergence](now, micro.top_logp))

    def surrogate(self, logp: Tensor, micro: Batch, advantage: Tensor) -> Tensor:
        c, mu, divergence = self.config, micro.sampled_logp, micro.divergence
        if divergence is None:
            divergence = BINARY[c.divergence](logp, mu)
        limit = DELTA[c.divergence] if c.limit is None else c.limit
        masked = divergence_mask((logp - mu).exp(), advantage=advantage, divergence=divergence, limit=limit)
        self.log({"mask/fraction": masked.float()})
        return divergence_masked(logp, anchor=mu, advantage=advantage, divergence=divergence, limit=limit)

    def weights(self, batch: Batch) -> Tensor:
        return constant(batch.mask, length=self.config.divisor)
