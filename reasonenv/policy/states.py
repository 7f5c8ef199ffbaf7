"""What the trunk of a policy makes of a batch, before any head has read it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class States:
    """One hidden state for each of the M response tokens of a batch, rows in their order, and one for each end."""

    before: Tensor  # [M, H], of the state in which each token was chosen
    after: Tensor  # [B, H], of the state that each response ended in
    targets: Tensor  # [M], the tokens
    row: Tensor  # [M], their rows in the batch
    step: Tensor  # [M], their steps in the response
    shape: tuple[int, int]  # B, T

    def spread(self, numbers: Tensor) -> Tensor:
        """What belongs to each token [M, ...] at its place, 0 at padding.  # [B, T, ...]"""
        blank = torch.zeros((*self.shape, *numbers.shape[1:]), dtype=numbers.dtype, device=numbers.device)
        return blank.index_put((self.row, self.step), numbers)
