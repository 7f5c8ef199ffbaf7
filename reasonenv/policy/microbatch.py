"""How a batch passes the model: rows with one prompt share it, and all follow one another without padding.

A group of G responses is one segment [prompt, response 1, ..., response G] of a sequence, in which every response sees
the prompt and itself, at the positions it would have alone; segments of equal sizes make a `SegmentBatch`. Of a model
that cannot take segments every row is a sequence of its own, padded on the right.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reasonenv.core import TokenBatch
from reasonenv.policy.attention import SegmentBatch, segment_batch

SCORES = 2**17  # of queries with keys, a head, that a batch of segments may have at most: what a cache holds
TOKENS_PER_MICROBATCH = 8192  # that pass a model at once, unless the user says otherwise


def segments(batch: TokenBatch, *, shared: bool, limit: int | None = None) -> list[list[int]]:
    """Rows that share a prompt, longest first; together at most `limit` tokens, save where one row alone is longer."""
    left = batch.tokens.shape[1] - batch.width  # P
    prompts, lengths = batch.prompt_length.tolist(), batch.length.tolist()
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for row, ids in enumerate(batch.tokens[:, :left].tolist()):
        key = tuple(ids[left - prompts[row] :]) if shared else (row,)
        by_prompt.setdefault(key, []).append(row)
    cuts: list[list[int]] = []
    for rows in by_prompt.values():
        width = None
        for row in sorted(rows, key=lambda r: -lengths[r]):
            if width is None or (limit is not None and width + lengths[row] > limit):
                cuts.append([])
                width = prompts[row]
            cuts[-1].append(row)
            width += lengths[row]
    return sorted(cuts, key=lambda rows: -_width(batch, rows))


def microbatches(batch: TokenBatch, tokens: int, *, shared: bool = True) -> list[Tensor]:
    """Row numbers of each micro-batch, every row exactly once.

    At most `tokens` pass the model at once, padding included, save where one row alone is longer. The longest come
    first, so the first micro-batch shows whether memory suffices.
    """
    cuts: list[list[int]] = []
    total = count = widest = 0
    for rows in segments(batch, shared=shared, limit=tokens):
        width = _width(batch, rows)
        total += width
        passing = total if shared else (count + 1) * widest
        if cuts and passing <= tokens:
            cuts[-1] += rows
            count += 1
        else:
            cuts.append(list(rows))
            total, count, widest = width, 1, width
    return [torch.tensor(cut) for cut in cuts]


@torch.no_grad()
def by_microbatch(
    score: Callable[[TokenBatch], tuple[Tensor, ...]], batch: TokenBatch, tokens: int, *, shared: bool
) -> tuple[Tensor, ...]:
    """`score` of a whole batch without gradient, on the CPU, though at most `tokens` pass the model at once.

    Of a micro-batch of b rows and t columns it returns tensors [b] or [b, t, ...]; here they are [B] or [B, T, ...],
    0 at the columns that its micro-batch does not have.
    """
    whole: list[Tensor] = []
    for rows in microbatches(batch, tokens, shared=shared):
        parts = score(batch.select(rows))
        for part in parts[len(whole) :]:  # their shapes are known with the first micro-batch
            shape = (len(batch.mask), batch.width)[: part.dim()]
            whole.append(torch.zeros((*shape, *part.shape[2:]), dtype=part.dtype))
        for out, part in zip(whole, parts, strict=True):
            if part.dim() == 1:
                out[rows] = part.cpu()
            else:
                out[rows, : part.shape[1]] = part.cpu()
    return tuple(whole)


def passed(batch: TokenBatch, *, shared: bool = True) -> int:
    """Tokens that pass the model for this micro-batch, padding included."""
    cuts = segments(batch, shared=shared)
    if shared:
        return sum(_width(batch, rows) for rows in cuts)
    return len(cuts) * _width(batch, cuts[0])


@dataclass(frozen=True)
class Layout:
    """A micro-batch as the model reads it, and where its M response tokens stand."""

    tokens: Tensor  # [n, W]; n = 1 with segments
    positions: Tensor  # [n, W]
    segments: list[SegmentBatch]  # along W; none of a model that cannot take them
    row: Tensor  # [M], row of the batch
    step: Tensor  # [M], step of the response
    place: Tensor  # [M], of the token in the flattened [n * W]
    before: Tensor  # [M], of the token that predicts it


def layout(batch: TokenBatch, device: torch.device, *, shared: bool = True) -> Layout:
    """Lays out the whole batch, response tokens in the order of its rows."""
    left = batch.tokens.shape[1] - batch.width  # P
    prompts, lengths = batch.prompt_length.tolist(), batch.length.tolist()
    cuts = segments(batch, shared=shared)
    alike: list[list[list[int]]] = []
    if shared:
        alike = _alike(cuts, prompts, lengths)
        cuts = list(itertools.chain.from_iterable(alike))
        starts = [0, *itertools.accumulate(_width(batch, rows) for rows in cuts)]
        shape = (1, starts[-1])
    else:
        shape = (len(cuts), _width(batch, cuts[0]))
        starts = list(range(0, shape[0] * shape[1], shape[1]))
    tokens, positions = torch.zeros(2, shape[0] * shape[1], dtype=torch.int64)
    places: dict[int, tuple[Tensor, Tensor]] = {}  # of the tokens of a row, and of those that predict them
    for rows, start in zip(cuts, starts, strict=False):
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
            places[row] = place, before
            at = end
    ordered = [places[row] for row in range(len(lengths))]
    return Layout(
        tokens=tokens.view(shape).to(device),
        positions=positions.view(shape).to(device),
        segments=[segment_batch(prompts[cut[0][0]], batch.length[torch.tensor(cut)], device) for cut in alike],
        row=torch.repeat_interleave(torch.tensor(lengths)).to(device),
        step=torch.cat([torch.arange(length) for length in lengths]).to(device),
        place=torch.cat([place for place, _ in ordered]).to(device),
        before=torch.cat([before for _, before in ordered]).to(device),
    )


def _alike(cuts: Sequence[list[int]], prompts: Sequence[int], lengths: Sequence[int]) -> list[list[list[int]]]:
    """The segments by the sizes of prompt and group, in lists of up to `SCORES` products of two tokens each."""
    by_size: dict[tuple[int, int], list[list[int]]] = {}
    for rows in cuts:
        by_size.setdefault((prompts[rows[0]], len(rows)), []).append(rows)
    alike = []
    for (prompt, count), members in by_size.items():
        widest = max(lengths[row] for row in itertools.chain.from_iterable(members))
        each = max(1, SCORES // (count * (prompt + widest) ** 2))
        alike += [members[start : start + each] for start in range(0, len(members), each)]
    return alike


def _width(batch: TokenBatch, rows: list[int]) -> int:
    return int(batch.prompt_length[rows[0]]) + int(batch.length[rows].sum())
