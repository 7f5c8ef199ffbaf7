"""Estimators of KL(pi || reference) from the tokens that were sampled (Schulman, "Approximating KL divergence")."""

from __future__ import annotations

from torch import Tensor


def k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """exp(-d) + d - 1 with d = log pi - log ref: unbiased, never negative (GRPO, 2402.03300, equation 4).  # [B, T]

    As a loss its gradient in log pi is 1 - exp(-d), that of the forward KL.
    """
    d = logp - ref_logp.detach()
    return (-d).exp() + d - 1
