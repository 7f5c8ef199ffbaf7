"""Advantage estimators: what each sequence earned, against its siblings. Pure functions in float64.

Two conventions hold for every one of them (DESIGN.md, section 4): a group whose rewards are all equal has advantage
exactly 0, found by max - min because equal float32 rewards need not cancel in a standard deviation; so has a group of
one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

EQUAL = 1e-6  # rewards of a group that lie this close together are the same reward


def per_group(rewards: Tensor, group: Tensor, estimate: Callable[[Tensor], Tensor]) -> Tensor:
    """`estimate` of the rewards [G] of each group, 0 where a group has nothing to tell.  # [B], [B] -> [B]"""
    assert rewards.shape == group.shape, f"rewards {tuple(rewards.shape)} and group {tuple(group.shape)} must agree"
    advantage = torch.zeros_like(rewards, dtype=torch.float64)
    for label in set(group.tolist()):
        rows = group == label
        own = rewards[rows].double()
        if len(own) > 1 and own.max() - own.min() > EQUAL:
            advantage[rows] = estimate(own)
    return advantage.float()


def zscore(rewards: Tensor, group: Tensor, *, ddof: int, eps: float) -> Tensor:
    """(r - mean) / (std + eps) within the group: GRPO (2402.03300, section 4.1.2).  # [B]

    The paper states neither `ddof` nor `eps`; verl uses 1 and 1e-6, TRL 1 and 1e-4.
    """
    return per_group(rewards, group, lambda r: (r - r.mean()) / (r.std(correction=ddof) + eps))
