"""Aggregation as a weight matrix: loss = (weights * surrogate).sum().

The matrix is computed once on the mask [B, T] of the whole optimiser batch, so micro-batches only add, and the
gradient is the same however the batch was cut, ordered or padded.
"""

from __future__ import annotations

from torch import Tensor


def token_mean(mask: Tensor) -> Tensor:
    """1 / (tokens of the batch): every token counts the same.  # [B, T]"""
    return mask / mask.sum().clamp(min=1)


def sequence_mean(mask: Tensor) -> Tensor:
    """1 / B times 1 / (tokens of the sequence): every sequence counts the same (2402.03300, equation 3).  # [B, T]

    A sequence without a token of the policy is not counted in B.
    """
    length = mask.sum(dim=1, keepdim=True)
    return mask / length.clamp(min=1) / (length > 0).sum().clamp(min=1)
