"""The cache of the torch sampler and its attention: prompts once for all their samples, one column a drawn token.

It holds for any decoder-only model that takes its attention from transformers' `AttentionInterface` and hands it the
keyword arguments of the decoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reasonenv.errors import UserError
from reasonenv.policy.attention import check_plain

if TYPE_CHECKING:
    from transformers import Cache

ATTENTION = "reasonenv_slots"


def slot_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    slots: Slots | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of `query` [R, Hq, Q, D] to `key`, `value` [R, Hkv, W, D]; returns [R, Q, Hq, D].

    Without `slots` it is the causal pass over prompts; with them it is one query a row, to its prompt and then to its
    response. `attention_mask` is theirs, additive, [R, 1, 1, P + W].
    """
    check_plain(module, kwargs, "which the torch sampler does not; use sampler=hf")
    window = kwargs.get("sliding_window")
    seen = key.shape[2] if attention_mask is None else attention_mask.shape[3]
    if window is not None and seen > window:
        raise UserError(
            f"{type(module).__name__} sees {window} tokens back and the sequence has {seen}; "
            "use sampler=hf or a smaller max_tokens"
        )
    rows, heads, queries, width = query.shape
    shared = key.shape[1]
    scale = width**-0.5 if scaling is None else scaling
    if slots is None:
        if attention_mask is not None:
            raise UserError(f"{type(module).__name__} gets no arguments of its decoder; use sampler=hf")
        key, value = (x.repeat_interleave(heads // shared, dim=1) for x in (key, value))
        out = nn.functional.scaled_dot_product_attention(query, key, value, scale=scale, is_causal=queries > 1)
        return out.transpose(1, 2).contiguous(), None
    assert attention_mask is not None
    index: Any = module.layer_idx
    prompt_key, prompt_value = (x.flatten(0, 1) for x in slots.prompts[index])
    # Batched products with the query heads of one key head as rows, and over a prompt those of all its samples: its
    # keys are read once for the group. Many times faster on a CPU than the general kernel.
    folded = query.reshape(rows, shared, heads // shared, width)
    before = slots.apart(torch.bmm(slots.together(folded), prompt_key.transpose(1, 2)))  # [R, Hkv, Hq / Hkv, P]
    after = torch.bmm(folded.flatten(0, 1), key.flatten(0, 1).transpose(1, 2)).view(*folded.shape[:3], -1)
    scores = torch.cat([before, after], dim=-1).float().mul_(scale).add_(attention_mask)  # [R, Hkv, Hq / Hkv, P + W]
    weights, size = scores.softmax(-1).to(value.dtype), before.shape[-1]
    out = slots.apart(torch.bmm(slots.together(weights[..., :size]), prompt_value))  # [R, Hkv, Hq / Hkv, D]
    out = out + torch.bmm(weights[..., size:].flatten(0, 1), value.flatten(0, 1)).view_as(out)
    return out.view(rows, 1, heads, -1), None


class Slots:
    """The keys and values of prompts, each once, and of `rows` responses; slots 0 .. n - 1 are in use.

    Token t of a response stands in column t of its slot, whatever its neighbours do. There are `width` columns, a few
    more than are in use: attention reads them all, because the matrix kernel would copy a cache of which it is shown a
    part. It gets the slots as the keyword argument `slots` of the decoder.
    """

    STEP = 64  # columns are added so many at a time

    def __init__(self, layers: int, rows: int, length: int, device: torch.device) -> None:
        from transformers.cache_utils import Cache, CacheLayerMixin

        slots = self

        class SlotLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers ships no types
            """One layer's keys and values of responses, [rows, Hkv, W, D]."""

            def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
                # Zeros, because a masked column still takes part as 0 * value.
                self.keys, self.values = (
                    x.new_zeros(rows, x.shape[1], slots.width, x.shape[3]) for x in (key_states, value_states)
                )
                self.is_initialized = True

            def widen(self) -> None:
                self.keys, self.values = (_wide(x, slots.width) for x in (self.keys, self.values))

            def update(
                self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
            ) -> tuple[Tensor, Tensor]:
                if not self.is_initialized:
                    self.lazy_initialization(key_states, value_states)
                n = slots.row.shape[0]
                self.keys[slots.row, :, slots.column] = key_states[:, :, 0]
                self.values[slots.row, :, slots.column] = value_states[:, :, 0]
                return self.keys[:n], self.values[:n]

            def get_seq_length(self) -> int:
                return slots.width - 1

            def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
                return slots.width, 0

            def get_max_length(self) -> int:
                return length

            get_max_cache_shape = get_max_length  # its name in the first versions of transformers 5

        self.cache: Cache = Cache(layers=[SlotLayer() for _ in range(layers)])
        self.length, self.width = length, 0
        empty = torch.empty(0, dtype=torch.int64, device=device)
        self.lengths = empty  # of each prompt held
        self.prompts: list[tuple[Tensor, Tensor]] = []  # keys and values by layer, [held, Hkv, P, D]
        self.row = self.column = self.prompt = self.chair = self.sitter = empty  # see `aim` and `seat`
        self.table = (0, 0)

    def add(self, cache: Cache, lengths: Tensor) -> None:
        """Hold the prompts in the rows of `cache` too, behind those that are held; `lengths` are theirs."""
        self.lengths = torch.cat([self.lengths, lengths])
        wide = int(self.lengths.max())
        fresh = [(_wide(layer.keys, wide), _wide(layer.values, wide)) for layer in cache.layers]
        if self.prompts:
            held = [(_wide(k, wide), _wide(v, wide)) for k, v in self.prompts]
            fresh = [(torch.cat([k, x]), torch.cat([v, y])) for (k, v), (x, y) in zip(held, fresh, strict=True)]
        self.prompts = fresh

    def keep(self, kept: Tensor) -> None:
        """Of the prompts held, forget all but those numbered in `kept`."""
        if len(kept) < len(self.lengths):
            self.lengths = self.lengths[kept]
            self.prompts = [(k[kept], v[kept]) for k, v in self.prompts]

    def seat(self, prompt: Tensor) -> None:
        """Say which of the prompts held the response in each used slot follows [n]: those of one sit side by side."""
        count = torch.bincount(prompt, minlength=len(self.lengths))
        self.prompt, self.table = prompt, (len(count), int(count.max()))  # held, seats each
        order = prompt.argsort(stable=True)
        rank = torch.arange(len(prompt), device=prompt.device) - (count.cumsum(0) - count)[prompt[order]]
        self.chair = torch.empty_like(prompt)  # of each slot
        self.chair[order] = prompt[order] * self.table[1] + rank
        # A chair that stays empty takes slot 0, and nobody looks at it.
        self.sitter = prompt.new_zeros(self.table[0] * self.table[1])
        self.sitter[self.chair] = torch.arange(len(prompt), device=prompt.device)

    def together(self, x: Tensor) -> Tensor:
        """From one row a slot to one a prompt and head: [n, Hkv, K, C] -> [held * Hkv, seats * K, C]."""
        held, seats = self.table
        _, heads, size, width = x.shape
        seated = x[self.sitter].view(held, seats, heads, size, width).transpose(1, 2)
        return seated.reshape(held * heads, seats * size, width)

    def apart(self, x: Tensor) -> Tensor:
        """The way back from `together`."""
        held, seats = self.table
        seated = x.view(held, x.shape[0] // held, seats, x.shape[1] // seats, x.shape[2]).transpose(1, 2)
        return seated.flatten(0, 1)[self.chair]

    def aim(self, column: Tensor) -> Tensor:
        """Let the next forward write slot i's token to column `column[i]`; returns its mask [n, 1, 1, P + W]."""
        self.row, self.column = torch.arange(len(column), device=column.device), column
        if int(column.max()) >= self.width:
            self.width = min(self.width + self.STEP, self.length)
            for layer in self.cache.layers:
                if layer.is_initialized:
                    layer.widen()
        size = self.prompts[0][0].shape[2]
        hidden = torch.cat(
            [
                torch.arange(size, device=column.device) >= self.lengths[self.prompt][:, None],
                torch.arange(self.width, device=column.device) > column[:, None],
            ],
            dim=1,
        )
        return torch.zeros(hidden.shape, device=column.device).masked_fill_(hidden, -torch.inf)[:, None, None]

    def move(self, source: Tensor, target: Tensor, columns: int) -> None:
        """Copy the first `columns` columns of slots `source` over slots `target`."""
        for layer in self.cache.layers:
            if layer.is_initialized:
                layer.keys[target, :, :columns] = layer.keys[source, :, :columns]
                layer.values[target, :, :columns] = layer.values[source, :, :columns]


def _wide(x: Tensor, columns: int) -> Tensor:
    """`x` [R, Hkv, W, D] with so many columns: zeros are added, or the last ones taken away."""
    return nn.functional.pad(x, (0, 0, 0, columns - x.shape[2])).contiguous()
