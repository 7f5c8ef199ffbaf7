"""Losses of one number a token, to be minimised: surrogates, estimators of a KL, and what a critic learns.

Each surrogate names the log-probabilities that it is anchored on. `logp` [B, T] is the current policy's, `anchor`
[B, T] that of the policy the ratio is taken against: the trainer's at the start of the update, or the sampler's.
`advantage` is [B, T] or [B, 1]. Gradients flow through `logp` alone. Where the ratio is the anchor's own, each
surrogate has the gradient of `reinforce`.

The estimators of KL(pi || reference) are taken from the tokens that were sampled (Schulman, "Approximating KL
divergence"), with d = log pi - log ref at a token sampled from pi. As a penalty in the reward use `k1`; as a term of
the loss its gradient in log pi is what counts, and that differs from the gradient of what is estimated.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The largest log-ratio that is exponentiated. float32 overflows above 88.7, and the backward pass of exp multiplies the
# 0 of a clipped token, or of an advantage of 0, by infinity: nan. 80 leaves a factor of 6,000 for advantages and
# weights; beyond it the ratio is the constant e^80 and has no gradient. Log-ratios of a sound update are below 1.
EXPONENT = 80.0


def likelihood_ratio(logp: Tensor, anchor: Tensor) -> Tensor:
    """r = exp(min(log pi - log anchor, `EXPONENT`)): always finite, with finite gradients.  # [B, T]"""
    return (logp - anchor).clamp(max=EXPONENT).exp()


def likelihood(logp: Tensor) -> Tensor:
    """-log pi: supervised learning of the tokens as they are.  # [B, T]"""
    return -logp


def reinforce(logp: Tensor, *, advantage: Tensor) -> Tensor:
    """-A log pi: the score function (Williams, 1992).  # [B, T]"""
    return -advantage * logp


def clipped(logp: Tensor, *, anchor: Tensor, advantage: Tensor, low: float, high: float) -> Tensor:
    """-min(r A, clip(r, 1 - low, 1 + high) A) with r = pi / anchor: PPO (1707.06347, equation 7).  # [B, T]"""
    ratio = likelihood_ratio(logp, anchor.detach())
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)


def clip_fractions(ratio: Tensor, *, advantage: Tensor, low: float, high: float) -> dict[str, Tensor]:
    """Where a clipped ratio takes the gradient away: 1 at such tokens, else 0.  # [B, T] each

    `clip/low` where r < 1 - low would lead further down (A < 0), `clip/high` where r > 1 + high would further up.
    """
    return {
        "clip/low": ((ratio < 1 - low) & (advantage < 0)).float(),
        "clip/high": ((ratio > 1 + high) & (advantage > 0)).float(),
    }


def capped_importance(logp: Tensor, *, anchor: Tensor, advantage: Tensor, cap: float) -> Tensor:
    """-sg(min(r, cap)) A log pi with r = pi / anchor: CISPO (2506.13585, equation 4).  # [B, T]

    `cap` is absolute: verl's `clip_ratio_high=0.2` is a cap of 1.2, TRL's `epsilon_high=5` one of 5. No token loses its
    gradient.
    """
    ratio = likelihood_ratio(logp, anchor).detach()
    return -ratio.clamp(max=cap) * advantage * logp


def binary_tv(logp: Tensor, anchor: Tensor) -> Tensor:
    """|mu(a) - pi(a)| of the sampled token against all others: DPPO (2602.04879, equation 13).  # [B, T]"""
    return (anchor.exp() - logp.exp()).abs().detach()


def binary_kl(logp: Tensor, anchor: Tensor) -> Tensor:
    """mu log(mu / pi) + (1 - mu) log((1 - mu) / (1 - pi)): DPPO (2602.04879, equation 14).  # [B, T]

    1e-8 stands beside each 1, as in the authors' code: a token of probability 1 leaves nothing to the others.
    """
    mu, pi = anchor.exp(), logp.exp()
    return (mu * (anchor - logp) + (1 - mu) * ((1 - mu + 1e-8) / (1 - pi + 1e-8)).log()).detach()


def top_tv(logp: Tensor, anchor: Tensor) -> Tensor:
    """1/2 sum |mu - pi| over K tokens and "any other": DPPO (2602.04879, equation 15).  # [B, T, K] -> [B, T]

    The tokens are the likeliest under mu and the sampled one, each once. With the sampled one alone it is `binary_tv`.
    """
    moved = (anchor.exp() - logp.exp()).detach()
    return (moved.abs().sum(dim=-1) + moved.sum(dim=-1).abs()) / 2


def top_kl(logp: Tensor, anchor: Tensor) -> Tensor:
    """sum mu log(mu / pi) over K tokens and "any other": DPPO (2602.04879, equation 16).  # [B, T, K] -> [B, T]

    As `top_tv`, with the 1e-8 of `binary_kl`.
    """
    mu, pi = anchor.exp(), logp.exp()
    mu_other = (1 - mu.sum(dim=-1)).clamp(min=0)  # a sum rounds to above 1
    pi_other = (1 - pi.sum(dim=-1)).clamp(min=0)
    other = mu_other * ((mu_other + 1e-8) / (pi_other + 1e-8)).log()
    return ((mu * (anchor - logp)).sum(dim=-1) + other).detach()


def divergence_masked(logp: Tensor, *, anchor: Tensor, advantage: Tensor, divergence: Tensor, limit: float) -> Tensor:
    """-sg(M r) A log pi with r = pi / anchor: DPPO (2602.04879, equation 12).  # [B, T]

    M is 0 where `divergence` [B, T] exceeds `limit` and the step would lead further away (A > 0 and r > 1, or A < 0 and
    r < 1), else 1. The anchor is the sampler; nothing truncates r below e^80.
    """
    ratio = likelihood_ratio(logp, anchor).detach()
    masked = divergence_mask(ratio, advantage=advantage, divergence=divergence, limit=limit)
    return -ratio * ~masked * advantage * logp


def divergence_mask(ratio: Tensor, *, advantage: Tensor, divergence: Tensor, limit: float) -> Tensor:
    """Where M is 0: the `divergence` exceeds `limit` and the step would lead further away.  # [B, T] bool"""
    away = ((advantage > 0) & (ratio > 1)) | ((advantage < 0) & (ratio < 1))
    return away & (divergence > limit)


def sequence_clipped(
    logp: Tensor, *, anchor: Tensor, advantage: Tensor, mask: Tensor, low: float, high: float
) -> Tensor:
    """-min(s A, clip(s, 1 - low, 1 + high) A), s = exp(mean_t log(pi / anchor)): GSPO (2507.18071, equations 5, 7).

    The same number at every token of a sequence, so `sequence_mean` makes it the paper's loss. `advantage` is one
    number a sequence [B, 1].  # [B, T]
    """
    ratio = sequence_ratio(logp, anchor.detach(), mask)
    loss = -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)
    return loss.expand_as(logp)


def sequence_ratio(logp: Tensor, anchor: Tensor, mask: Tensor) -> Tensor:
    """s = exp(mean_t log(pi / anchor)) over the tokens of each sequence: GSPO (2507.18071, equation 7).  # [B, 1]"""
    length = mask.sum(dim=1, keepdim=True).clamp(min=1)
    mean = ((logp - anchor) * mask).sum(dim=1, keepdim=True) / length
    return mean.clamp(max=EXPONENT).exp()


def k1(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """d: unbiased, of either sign. As a loss its gradient is 1, which is noise of mean zero.  # [B, T]"""
    return logp - ref_logp.detach()


def k2(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """d^2 / 2: biased, never negative. As a loss its gradient is d, that of the reverse KL.  # [B, T]"""
    return k1(logp, ref_logp).square() / 2


def k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """exp(-d) + d - 1: unbiased, never negative (GRPO, 2402.03300, equation 4).  # [B, T]

    As a loss its gradient is 1 - exp(-d), that of the forward KL. Below d = -`EXPONENT`, where the exponential would
    soon overflow, d counts as that number: the value is finite and the gradient 0.
    """
    d = k1(logp, ref_logp).clamp(min=-EXPONENT)
    return (-d).exp() + d - 1


def clipped_value(values: Tensor, *, old: Tensor, returns: Tensor, clip: float) -> Tensor:
    """max((V - R)^2, (clip(V, V_old - clip, V_old + clip) - R)^2) / 2.  # [B, T]

    The critic's counterpart of the clipped ratio, as in the code of PPO's authors; equation 9 of the paper (1707.06347)
    has (V - R)^2. The gradient is V - R, but 0 where V has moved more than `clip` towards R.
    """
    near = old + (values - old).clamp(-clip, clip)
    return torch.maximum((values - returns).square(), (near - returns).square()) / 2


def value_clipped(values: Tensor, *, old: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Where `clipped_value` has no gradient because V has moved enough: 1 at such tokens, else 0.  # [B, T]"""
    near = old + (values - old).clamp(-clip, clip)
    return ((near - returns).square() > (values - returns).square()).float()
