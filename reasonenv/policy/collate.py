"""From groups of trajectories to one batch of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from reasonenv.core import Batch, Group, Trajectory


def collate(groups: Sequence[Group], *, pad: int) -> Batch:
    """All trajectories of the groups as one batch on the CPU, rows in their order. `pad` only fills space."""
    rows = [t for g in groups for t in g.trajectories]
    label = [i for i, g in enumerate(groups) for _ in g.trajectories]
    prompt_length = torch.tensor([len(t.prompt) for t in rows])
    length = torch.tensor([len(t.tokens) for t in rows])
    left, width = int(prompt_length.max()), int(length.max())
    tokens = torch.full((len(rows), left + width), pad)  # [B, L]
    for row, t in enumerate(rows):
        tokens[row, left - len(t.prompt) : left] = torch.from_numpy(t.prompt)
        tokens[row, left : left + len(t.tokens)] = torch.from_numpy(t.tokens)

    def padded(values: Callable[[Trajectory], object]) -> Tensor:
        out = torch.zeros(len(rows), width)  # [B, T]
        for row, t in enumerate(rows):
            out[row, : len(t.tokens)] = torch.from_numpy(np.asarray(values(t), dtype=np.float32))
        return out

    sampled = padded(lambda t: t.logprobs)
    discount, ends = torch.ones_like(sampled), torch.zeros_like(sampled)
    for row, t in enumerate(rows):
        ends[row, torch.from_numpy(t.ends)] = 1.0
        if t.terminated:
            discount[row, len(t.tokens) - 1] = 0.0
    return Batch(
        tokens=tokens,
        prompt_length=prompt_length,
        length=length,
        mask=padded(lambda t: t.roles),
        sampled_logp=sampled,
        old_logp=sampled,
        rewards=padded(lambda t: t.rewards),
        discount=discount,
        group=torch.tensor(label),
        versions=padded(lambda t: t.versions).long(),
        ends=ends,
    )
