"""How a batch passes the model: rows with one prompt share it, and all follow one another without padding.

A group of G responses is one stretch [prompt, response 1, ..., response G] of a sequence, in which every response sees
the prompt and itself, at the positions it would have alone; alike stretches make a `Family`. Of a model that cannot
take families every row is a sequence of its own, padded on the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reasonenv.core import Batch
from reasonenv.policy.attention import Family, family

SCORES = 2**17  # of queries with keys, a head, that a family may have at most: what a cache holds
TOKENS_PER_MICROBATCH = 8192  # that pass a model at once, unless the user says otherwise


def stretches(batch: Batch, *, shared: bool, limit: int | None = None) -> list[list[int]]:
    """Rows that share a prompt, longest first; together at most `limit` tokens, save where one row alone is longer."""
    left = batch.tokens.shape[1] - batch.width  # P
    prompts, lengths = batch.prompt_length.tolist(), batch.length.tolist()
    same: dict[tuple[int, ...], list[int]] = {}
    for row, ids in enumerate(batch.tokens[:, :left].tolist()):
        same.setdefault(tuple(ids[left - prompts[row] :]) if shared else (row,), []).append(row)
    found: list[list[int]] = []
    for rows in same.values():
        width = None
        for row in sorted(rows, key=lambda r: -lengths[r]):
            if width is None or (limit is not None and width + lengths[row] > limit):
                found.append([])
                width = prompts[row]
            found[-1].append(row)
            width += lengths[row]
    return sorted(found, key=lambda rows: -_width(batch, rows))


def microbatches(batch: Batch, tokens: int, *, shared: bool = True) -> list[Tensor]:
    """Row numbers of each micro-batch, every row exactly once.

    At most `tokens` pass the model at once, padding included, save where one row alone is longer. The longest come
    first, so the first micro-batch shows whether memory suffices.
    """
    cuts: list[list[int]] = []
    held = count = widest = 0
    for rows in stretches(batch, shared=shared, limit=tokens):
        width = _width(batch, rows)
        held += width
        if cuts and (held if shared else (count + 1) * widest) <= tokens:
            cuts[-1] += rows
            count += 1
        else:
            cuts.append(list(rows))
            held, count, widest = width, 1, width
    return [torch.tensor(cut) for cut in cuts]


def passed(batch: Batch, *, shared: bool = True) -> int:
    """Tokens that pass the model for this micro-batch, padding included."""
    widths = [_width(batch, rows) for rows in stretches(batch, shared=shared)]
    return sum(widths) if shared else len(widths) * widths[0]


@dataclass(frozen=True)
class Layout:
    """A micro-batch as the model reads it, and where its M response tokens stand."""

    tokens: Tensor  # [n, W]; n = 1 with families
    positions: Tensor  # [n, W]
    families: list[Family] | None  # along W
    row: Tensor  # [M], row of the batch
    step: Tensor  # [M], step of the response
    place: Tensor  # [M], of the token in the flattened [n * W]
    before: Tensor  # [M], of the token that predicts it


def layout(batch: Batch, device: torch.device, *, shared: bool = True) -> Layout:
    """Lays out the whole batch, response tokens in the order of its rows."""
    left = batch.tokens.shape[1] - batch.width  # P
    prompts, lengths = batch.prompt_length.tolist(), batch.length.tolist()
    found = stretches(batch, shared=shared)
    alike = _alike(found, prompts, lengths) if shared else []
    if shared:
        found = [rows for cut in alike for rows in cut]
    widths = [_width(batch, rows) for rows in found]
    shape = (1, sum(widths)) if shared else (len(found), widths[0])
    tokens, positions = torch.zeros(2, shape[0] * shape[1], dtype=torch.int64)
    where: dict[int, tuple[Tensor, Tensor]] = {}
    start = 0
    for rows, width in zip(found, widths, strict=True):
        prompt = prompts[rows[0]]
        at = start + prompt
        tokens[start:at] = batch.tokens[rows[0], left - prompt : left]
        positions[start:at] = torch.arange(prompt)
        for row in rows:
            end = at + lengths[row]
            tokens[at:end] = batch.tokens[row, left : left + lengths[row]]
            positions[at:end] = torch.arange(prompt, prompt + lengths[row])
            place = torch.arange(at, end)
            before = place - 1
            before[0] = start + prompt - 1
            where[row] = place, before
            at = end
        start += width if shared else shape[1]
    order = range(len(lengths))
    return Layout(
        tokens=tokens.view(shape).to(device),
        positions=positions.view(shape).to(device),
        families=[_family(cut, prompts, lengths, device) for cut in alike] if shared else None,
        row=torch.repeat_interleave(torch.tensor(lengths)).to(device),
        step=torch.cat([torch.arange(lengths[row]) for row in order]).to(device),
        place=torch.cat([where[row][0] for row in order]).to(device),
        before=torch.cat([where[row][1] for row in order]).to(device),
    )


def _alike(found: Sequence[list[int]], prompts: Sequence[int], lengths: Sequence[int]) -> list[list[list[int]]]:
    """The stretches by the sizes of prompt and group, in lists of up to `SCORES` products of two tokens each."""
    same: dict[tuple[int, int], list[list[int]]] = {}
    for rows in found:
        same.setdefault((prompts[rows[0]], len(rows)), []).append(rows)
    cuts = []
    for (prompt, count), members in same.items():
        widest = max(lengths[row] for rows in members for row in rows)
        each = max(1, SCORES // (count * (prompt + widest) ** 2))
        cuts += [members[start : start + each] for start in range(0, len(members), each)]
    return cuts


def _family(cut: Sequence[list[int]], prompts: Sequence[int], lengths: Sequence[int], device: torch.device) -> Family:
    return family(prompts[cut[0][0]], [[lengths[row] for row in rows] for rows in cut], device)


def _width(batch: Batch, rows: list[int]) -> int:
    return int(batch.prompt_length[rows[0]]) + int(batch.length[rows].sum())
