"""From sequences of tokens, and from groups of trajectories, to one batch of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reasonenv.core import Batch, Group, IntArray, TokenBatch


def token_batch(prompts: Sequence[IntArray], responses: Sequence[IntArray], *, pad: int) -> TokenBatch:
    """Each prompt and its response as a row on the CPU; every response token counts. `pad` only fills space."""
    prompt_length = torch.tensor([len(prompt) for prompt in prompts])
    length = torch.tensor([len(response) for response in responses])
    left, width = int(prompt_length.max()), int(length.max())
    tokens = torch.full((len(prompts), left + width), pad)  # [B, L]
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        tokens[row, left - len(prompt) : left] = torch.from_numpy(prompt)
        tokens[row, left : left + len(response)] = torch.from_numpy(response)
    mask = (torch.arange(width) < length[:, None]).float()  # [B, T]
    return TokenBatch(tokens, prompt_length, length, mask)


def padded(rows: Iterable[Any], shape: tuple[int, int]) -> Tensor:
    """One number for each response token, 0 at padding, in float32.  # [T] each -> [B, T]"""
    out = torch.zeros(shape)
    for row, values in enumerate(rows):
        out[row, : len(values)] = torch.from_numpy(np.asarray(values, dtype=np.float32))
    return out


def collate(groups: Sequence[Group], *, pad: int) -> Batch:
    """All trajectories of the groups as one batch on the CPU, rows in their order. `pad` only fills space."""
    rows = list(chain.from_iterable(group.trajectories for group in groups))
    known = token_batch([t.prompt for t in rows], [t.tokens for t in rows], pad=pad)
    shape = (len(rows), known.width)
    sampled = padded((t.logprobs for t in rows), shape)
    discount, ends, branches = torch.ones(shape), torch.zeros(shape), torch.zeros(shape, dtype=torch.int64)
    for row, t in enumerate(rows):
        ends[row, torch.from_numpy(t.ends)] = 1.0
        for start, number in t.branches:
            branches[row, start] = number + 1
        if t.terminated:
            discount[row, len(t.tokens) - 1] = 0.0
    sizes = torch.tensor([len(group.trajectories) for group in groups])
    return Batch(
        tokens=known.tokens,
        prompt_length=known.prompt_length,
        length=known.length,
        mask=padded((t.roles for t in rows), shape),
        sampled_logp=sampled,
        old_logp=sampled,
        rewards=padded((t.rewards for t in rows), shape),
        discount=discount,
        group=torch.arange(len(groups)).repeat_interleave(sizes),
        versions=padded((t.versions for t in rows), shape).long(),
        ends=ends,
        branches=branches,
    )
