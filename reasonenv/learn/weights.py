"""Aggregation as a weight matrix: loss = (weights * surrogate).sum().

The matrix is computed once on the mask [B, T] of the whole optimiser batch, so micro-batches only add, and the
gradient is the same however the batch was cut, ordered or padded. A sequence without a token of the policy is counted
in no denominator.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reasonenv.errors import UserError
from reasonenv.learn.losses import likelihood_ratio


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


def truncated_importance(old_logp: Tensor, sampled_logp: Tensor, *, cap: float) -> Tensor:
    """min(pi_old / mu, cap), constant: corrects for tokens that the sampler mu drew, not the trainer (TIS).  # [B, T]

    It multiplies a surrogate anchored on `old_logp`, after its min or clip and before the weights (Yao et al., 2025,
    "Your efficient RL framework secretly brings you off-policy RL training"; C = 2 there). Raises `UserError` where the
    two are the same: a ratio against the sampler already holds this correction, and it would be counted twice.
    """
    if torch.equal(old_logp, sampled_logp):
        raise UserError(
            "truncated_importance got the sampler's log-probs as old_logp; a surrogate anchored on the sampler needs "
            "no correction: drop it, or score the batch with the trainer first"
        )
    return likelihood_ratio(old_logp, sampled_logp).detach().clamp(max=cap)
