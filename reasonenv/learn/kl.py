"""Estimators of KL(pi || reference) from the tokens that were sampled (Schulman, "Approximating KL divergence").

With d = log pi - log ref at a token sampled from pi. As a penalty in the reward use `k1`; as a term of the loss its
gradient in log pi is what counts, and that differs from the gradient of what is estimated.
"""

from __future__ import annotations

from torch import Tensor


def k1(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """d: unbiased, of either sign. As a loss its gradient is 1, which is noise of mean zero.  # [B, T]"""
    return logp - ref_logp.detach()


def k2(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """d^2 / 2: biased, never negative. As a loss its gradient is d, that of the reverse KL.  # [B, T]"""
    return k1(logp, ref_logp).square() / 2


def k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """exp(-d) + d - 1: unbiased, never negative (GRPO, 2402.03300, equation 4).  # [B, T]

    As a loss its gradient is 1 - exp(-d), that of the forward KL.
    """
    d = k1(logp, ref_logp)
    return (-d).exp() + d - 1
