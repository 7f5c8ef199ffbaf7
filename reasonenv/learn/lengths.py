"""What the length of a response costs an agent that minds it, beside what the environment pays."""

from __future__ import annotations

import torch
from torch import Tensor

from reasonenv.mdp.rewards import overlong_cost


def overlong(length: Tensor, *, limit: int) -> Tensor:
    """`overlong_cost` of each sequence, the term that an environment pays as reward `overlong`.  # [B] -> [B]"""
    return torch.tensor([overlong_cost(tokens, limit=limit) for tokens in length.tolist()])
