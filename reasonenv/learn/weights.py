"""Aggregation as a weight matrix: loss = (weights * surrogate).sum().

The matrix is computed once on the mask [B, T] of the whole optimiser batch, so micro-batches only add, and the
gradient is the same however the batch was cut, ordered or padded. A sequence without a token of the policy is counted
in no denominator.
"""

from __future__ import annotations

from torch import Tensor


def token_mean(mask: Tensor) -> Tensor:
    """1 / (tokens of the batch): every token counts the same.  # [B, T]"""
    return mask / mask.sum().clamp(min=1)


def sequence_mean(mask: Tensor) -> Tensor:
    """1 / B times 1 / (tokens of the sequence): every sequence counts the same (2402.03300, equation 3).  # [B, T]"""
    return sequence_sum(mask) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def sequence_sum(mask: Tensor) -> Tensor:
    """1 / B: a sequence is one action, its log-prob the sum over its tokens. The true gradient.  # [B, T]"""
    return mask / (mask.sum(dim=1) > 0).sum().clamp(min=1)


def constant(mask: Tensor, *, length: int) -> Tensor:
    """1 / (B Lmax): `sequence_sum` over a constant, never over the width of a batch (2503.20783).  # [B, T]"""
    return sequence_sum(mask) / length


def prompt_mean(mask: Tensor, group: Tensor) -> Tensor:
    """1 / N times 1 / (tokens of the problem's group): every problem counts the same (2510.13786).  # [B, T]"""
    same = (group[:, None] == group).to(mask.dtype)  # [B, B]
    tokens = (same @ mask.sum(dim=1))[:, None]  # [B, 1], of the row's group
    problems = len(set(group[mask.sum(dim=1) > 0].tolist()))
    return mask / tokens.clamp(min=1) / max(problems, 1)
