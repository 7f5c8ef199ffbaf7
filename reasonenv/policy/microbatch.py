"""How a batch passes the model: rows with one prompt share it, and sequences of like lengths pass together.

A group of G responses is one sequence [prompt, response 1, ..., response G] in which every response sees the prompt
and itself, at the positions it would have alone. So the prompt is computed once, forward and backward, not G times.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reasonenv.core import Batch

# Attention computes the blocks that the mask then hides, so sharing pays only up to some width, and hardly once the
# prompt is a small part of the sequence.
SHARED_WIDTH = 1024
SHARED_PROMPTS = 5  # widths of the prompt


def sequences(batch: Batch) -> list[list[int]]:
    """Rows that share a prompt, longest first.

    A sequence of several rows is at most `SHARED_WIDTH` tokens and `SHARED_PROMPTS` times its prompt wide.
    """
    left = batch.tokens.shape[1] - batch.width  # P
    prompts, lengths = batch.prompt_length.tolist(), batch.length.tolist()
    same: dict[tuple[int, ...], list[int]] = {}
    for row, ids in enumerate(batch.tokens[:, :left].tolist()):
        same.setdefault(tuple(ids[left - prompts[row] :]), []).append(row)
    found: list[list[int]] = []
    for rows in same.values():
        limit = min(SHARED_WIDTH, SHARED_PROMPTS * prompts[rows[0]])
        width = limit + 1  # so that the first row opens a sequence
        for row in sorted(rows, key=lambda r: -lengths[r]):
            if width + lengths[row] > limit:
                found.append([])
                width = prompts[row]
            found[-1].append(row)
            width += lengths[row]
    return sorted(found, key=lambda rows: -_width(batch, rows))


def microbatches(batch: Batch, tokens: int) -> list[Tensor]:
    """Row numbers of each micro-batch, every row exactly once and with the rows of its sequence.

    A micro-batch of n sequences is padded to n times the longest; that is at most `tokens`, save where one alone is
    longer. The longest come first, so the largest micro-batch shows at once whether memory suffices.
    """
    cuts: list[list[list[int]]] = []
    for rows in sequences(batch):
        if cuts and (len(cuts[-1]) + 1) * _width(batch, cuts[-1][0]) <= tokens:
            cuts[-1].append(rows)
        else:
            cuts.append([rows])
    return [torch.tensor([row for rows in cut for row in rows]) for cut in cuts]


def padded(batch: Batch) -> tuple[int, int]:
    """(n, W): the sequences of a micro-batch and what they are padded to."""
    found = sequences(batch)
    return len(found), max(_width(batch, rows) for rows in found)


@dataclass(frozen=True)
class Layout:
    """A micro-batch as the model reads it: n sequences padded to W, and where the M response tokens stand in them."""

    tokens: Tensor  # [n, W]
    positions: Tensor  # [n, W]
    mask: Tensor | None  # [n, 1, W, W] bool, true where a token sees another; None is plain causal attention
    row: Tensor  # [M], row of the batch
    step: Tensor  # [M], step of the response
    place: Tensor  # [M], of the token in the flattened [n * W]
    before: Tensor  # [M], of the token that predicts it


def layout(batch: Batch, device: torch.device) -> Layout:
    """Lays out the whole batch, response tokens in the order of its rows."""
    left = batch.tokens.shape[1] - batch.width  # P
    prompts, lengths = batch.prompt_length.tolist(), batch.length.tolist()
    found = sequences(batch)
    width = max(_width(batch, rows) for rows in found)
    tokens = torch.zeros(len(found), width, dtype=torch.int64)
    positions, segment = torch.zeros_like(tokens), torch.full_like(tokens, -1)
    where: dict[int, tuple[Tensor, Tensor]] = {}
    for n, rows in enumerate(found):
        prompt = prompts[rows[0]]
        tokens[n, :prompt] = batch.tokens[rows[0], left - prompt : left]
        positions[n, :prompt], segment[n, :prompt] = torch.arange(prompt), 0
        at = prompt
        for number, row in enumerate(rows, start=1):
            end = at + lengths[row]
            tokens[n, at:end] = batch.tokens[row, left : left + lengths[row]]
            positions[n, at:end], segment[n, at:end] = torch.arange(prompt, prompt + lengths[row]), number
            place = n * width + torch.arange(at, end)
            before = place - 1
            before[0] = n * width + prompt - 1
            where[row] = place, before
            at = end
    mask = None
    if len(found) < len(lengths):
        seen = (segment[:, None, :] == 0) | (segment[:, None, :] == segment[:, :, None])  # [n, W, W]
        mask = seen.tril()[:, None].to(device)
    order = range(len(lengths))
    return Layout(
        tokens=tokens.to(device),
        positions=positions.to(device),
        mask=mask,
        row=torch.repeat_interleave(torch.tensor(lengths)).to(device),
        step=torch.cat([torch.arange(lengths[row]) for row in order]).to(device),
        place=torch.cat([where[row][0] for row in order]).to(device),
        before=torch.cat([where[row][1] for row in order]).to(device),
    )


def _width(batch: Batch, rows: list[int]) -> int:
    return int(batch.prompt_length[rows[0]]) + int(batch.length[rows].sum())
