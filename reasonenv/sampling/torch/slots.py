"""The cache of the torch sampler and its attention: prompts once for all their samples, one column a drawn token.

It holds for any decoder-only model that takes its attention from transformers' `AttentionInterface` and hands it the
keyword arguments of the decoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reasonenv.errors import UserError
from reasonenv.policy.attention import capped, capped_attention, check_plain

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

    Without `slots` it is the causal pass over prompts, or over a chunk behind its history; with them it is one query a
    row, to its prompt and then to its response. `attention_mask` is theirs, additive, [R, 1, 1, P + W].
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
    scale, cap = width**-0.5 if scaling is None else scaling, kwargs.get("softcap")
    if slots is None:
        if attention_mask is not None:
            raise UserError(f"{type(module).__name__} gets no arguments of its decoder; use sampler=hf")
        if cap is not None:
            return capped_attention(query, key, value, None, scale, cap), None
        key, value = key.repeat_interleave(heads // shared, dim=1), value.repeat_interleave(heads // shared, dim=1)
        if queries == key.shape[2]:
            out = nn.functional.scaled_dot_product_attention(query, key, value, scale=scale, is_causal=queries > 1)
        else:  # behind a history: the last query sees all keys
            seen_by = torch.ones(queries, seen, dtype=torch.bool, device=query.device).tril(seen - queries)
            out = nn.functional.scaled_dot_product_attention(query, key, value, seen_by, scale=scale)
        return out.transpose(1, 2).contiguous(), None
    assert attention_mask is not None
    index: Any = module.layer_idx
    prompt_key, prompt_value = slots.prompts[index]
    prompt_key, prompt_value = prompt_key.flatten(0, 1), prompt_value.flatten(0, 1)
    # Batched products with the query heads of one key head as rows, and over a prompt those of all its samples: its
    # keys are read once for the group. Many times faster on a CPU than the general kernel.
    folded = query.reshape(rows, shared, heads // shared, width)
    before = torch.bmm(slots.group_by_prompt(folded), prompt_key.transpose(1, 2))
    before = slots.ungroup(before)  # [R, Hkv, Hq / Hkv, P]
    after = torch.bmm(folded.flatten(0, 1), key.flatten(0, 1).transpose(1, 2)).view(*folded.shape[:3], -1)
    scores = torch.cat([before, after], dim=-1).float().mul_(scale)  # [R, Hkv, Hq / Hkv, P + W]
    scores = capped(scores, cap).add_(attention_mask)
    weights, size = scores.softmax(-1).to(value.dtype), before.shape[-1]
    out = slots.ungroup(torch.bmm(slots.group_by_prompt(weights[..., :size]), prompt_value))  # [R, Hkv, Hq / Hkv, D]
    out = out + torch.bmm(weights[..., size:].flatten(0, 1), value.flatten(0, 1)).view_as(out)
    return out.view(rows, 1, heads, -1), None


class Slots:
    """The keys and values of prompts, each once, and of `rows` responses; slots 0 .. n - 1 are in use.

    Token t of a response stands in column t of its slot, whatever its neighbours do. There are `width` columns, a few
    more than are in use: attention reads them all, because the matrix kernel would copy a cache of which it is shown a
    part. It gets the slots as the keyword argument `slots` of the decoder.

    To attend a prompt once for all its responses, slots are put into a table of cells: a line for each prompt held, as
    wide as the most slots that follow one. With five slots, three prompts held and up to three slots for each:

        slot            0  1  2  3  4          cell            0  1  2 | 3  4  5 | 6  7  8
        its prompt      1  0  1  1  2          its prompt      0       | 1       | 2
        slot_to_cell    3  0  4  5  6          cell_to_slot    1  0  0 | 0  2  3 | 4  0  0

    A cell without a slot names slot 0; what is computed for it is not read.
    """

    STEP = 64  # columns are added so many at a time

    def __init__(self, layers: int, rows: int, length: int, device: torch.device) -> None:
        from transformers.cache_utils import Cache, CacheLayerMixin

        slots = self

        class SlotLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers ships no types
            """One layer's keys and values of responses, [rows, Hkv, W, D]."""

            def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
                # Zeros, because a masked column still takes part as 0 * value.
                self.keys = key_states.new_zeros(rows, key_states.shape[1], slots.width, key_states.shape[3])
                self.values = value_states.new_zeros(rows, value_states.shape[1], slots.width, value_states.shape[3])
                self.is_initialized = True

            def widen(self) -> None:
                self.keys, self.values = _wide(self.keys, slots.width), _wide(self.values, slots.width)

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
                return max(length, slots.width)

            get_max_cache_shape = get_max_length  # its name in the first versions of transformers 5

        self.cache: Cache = Cache(layers=[SlotLayer() for _ in range(layers)])
        self.length, self.width = length, 0
        empty = torch.empty(0, dtype=torch.int64, device=device)
        self.lengths = empty  # of each prompt held
        self.prompts: list[tuple[Tensor, Tensor]] = []  # keys and values by layer, [held, Hkv, P, D]
        self.row = self.column = empty  # [n], where the next forward writes
        self.prompt = self.slot_to_cell = empty  # [n]
        self.cell_to_slot = empty  # [held * cells of each]
        self.table = (0, 0)  # prompts held, cells of each

    def add(self, cache: Cache, lengths: Tensor) -> None:
        """Holds the prompts in the rows of `cache` too, behind those that are held; `lengths` are theirs."""
        self.lengths = torch.cat([self.lengths, lengths])
        columns = int(self.lengths.max())
        prompts = [(_wide(layer.keys, columns), _wide(layer.values, columns)) for layer in cache.layers]
        for index, (keys, values) in enumerate(self.prompts):
            more_keys, more_values = prompts[index]
            all_keys = torch.cat([_wide(keys, columns), more_keys])
            prompts[index] = all_keys, torch.cat([_wide(values, columns), more_values])
        self.prompts = prompts

    def keep(self, places: Tensor) -> None:
        """Of the prompts held, forgets all but those at `places`."""
        if len(places) < len(self.lengths):
            self.lengths = self.lengths[places]
            self.prompts = [(keys[places], values[places]) for keys, values in self.prompts]

    def assign_prompts(self, prompt: Tensor) -> None:
        """Sets which of the prompts held the response in each slot in use follows: `prompt` [n]."""
        count = torch.bincount(prompt, minlength=len(self.lengths))
        self.prompt, self.table = prompt, (len(count), int(count.max()))
        order = prompt.argsort(stable=True)
        rank = torch.arange(len(prompt), device=prompt.device) - (count.cumsum(0) - count)[prompt[order]]
        self.slot_to_cell = torch.empty_like(prompt)
        self.slot_to_cell[order] = prompt[order] * self.table[1] + rank
        self.cell_to_slot = prompt.new_zeros(self.table[0] * self.table[1])
        self.cell_to_slot[self.slot_to_cell] = torch.arange(len(prompt), device=prompt.device)

    def group_by_prompt(self, x: Tensor) -> Tensor:
        """From one row a slot to one a prompt and head: [n, Hkv, K, C] -> [held * Hkv, cells * K, C]."""
        held, cells = self.table
        _, heads, size, width = x.shape
        grouped = x[self.cell_to_slot].view(held, cells, heads, size, width).transpose(1, 2)
        return grouped.reshape(held * heads, cells * size, width)

    def ungroup(self, x: Tensor) -> Tensor:
        """The inverse of `group_by_prompt`."""
        held, cells = self.table
        grouped = x.view(held, x.shape[0] // held, cells, x.shape[1] // cells, x.shape[2]).transpose(1, 2)
        return grouped.flatten(0, 1)[self.slot_to_cell]

    def set_columns(self, column: Tensor) -> Tensor:
        """Lets the next forward write slot i's token to column `column[i]`; returns its mask [n, 1, 1, P + W]."""
        self.row, self.column = torch.arange(len(column), device=column.device), column
        self.reserve(int(column.max()) + 1)
        prompt_size = self.prompts[0][0].shape[2]
        beyond_prompt = torch.arange(prompt_size, device=column.device) >= self.lengths[self.prompt][:, None]
        not_yet_written = torch.arange(self.width, device=column.device) > column[:, None]
        hidden = torch.cat([beyond_prompt, not_yet_written], dim=1)
        return torch.zeros(hidden.shape, device=column.device).masked_fill_(hidden, -torch.inf)[:, None, None]

    def reserve(self, columns: int) -> None:
        """Makes room for so many columns; beyond `length` too, where tokens were appended."""
        if columns <= self.width:
            return
        while self.width < columns:
            limit = self.length if self.width < self.length else columns + self.STEP
            self.width = min(self.width + self.STEP, limit)
        for layer in self.cache.layers:
            if layer.is_initialized:
                layer.widen()

    def history(self, slot: int, columns: int) -> Cache:
        """The keys and values of the prompt that a slot in use follows, and of its first columns, as one sequence."""
        from transformers import DynamicCache

        cache, place = DynamicCache(), int(self.prompt[slot])
        size = int(self.lengths[place])
        for index, (prompt, layer) in enumerate(zip(self.prompts, self.cache.layers, strict=True)):
            parts = [prompt[kind][place : place + 1, :, :size] for kind in (0, 1)]
            if columns:
                for kind, response in enumerate((layer.keys, layer.values)):
                    parts[kind] = torch.cat([parts[kind], response[slot : slot + 1, :, :columns]], dim=2)
            cache.update(*parts, index)
        return cache

    def write(self, slot: int, begin: int, end: int, cache: Cache) -> None:
        """Puts the last keys and values of a sequence as columns `begin` to `end` into a slot."""
        self.reserve(end)
        for layer, other in zip(self.cache.layers, cache.layers, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(other.keys, other.values)
            layer.keys[slot, :, begin:end] = other.keys[0, :, begin - end :]
            layer.values[slot, :, begin:end] = other.values[0, :, begin - end :]

    def move(self, source: Tensor, target: Tensor, columns: int) -> None:
        """Copies the first `columns` columns of slots `source` over slots `target`."""
        for layer in self.cache.layers:
            if layer.is_initialized:
                layer.keys[target, :, :columns] = layer.keys[source, :, :columns]
                layer.values[target, :, :columns] = layer.values[source, :, :columns]


def _wide(x: Tensor, columns: int) -> Tensor:
    """`x` [R, Hkv, W, D] with so many columns: zeros are added, or the last ones taken away."""
    return nn.functional.pad(x, (0, 0, 0, columns - x.shape[2])).contiguous()
