"""Surrogate losses: one number a token, to be minimised. Each names the log-probabilities that it is anchored on."""

from __future__ import annotations

import torch
from torch import Tensor


def likelihood(logp: Tensor) -> Tensor:
    """-log pi: supervised learning of the tokens as they are.  # [B, T]"""
    return -logp


def clipped(logp: Tensor, *, anchor: Tensor, advantage: Tensor, low: float, high: float) -> Tensor:
    """-min(r A, clip(r, 1 - low, 1 + high) A) with r = pi / anchor: PPO (1707.06347, equation 7).  # [B, T]

    `anchor` holds the trainer's log-probs at the start of the update, `advantage` [B, T] or [B, 1].
    """
    ratio = (logp - anchor.detach()).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)
