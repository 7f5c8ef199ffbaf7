"""What a critic minimises, one number a token."""

from __future__ import annotations

import torch
from torch import Tensor


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
