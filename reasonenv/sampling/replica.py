"""A copy of a causal LM made for decoding: packed weights, a cache of fixed slots, attention for one query a row.

It holds for any decoder-only model that takes its attention from transformers' `AttentionInterface`; the model it is
made from is not changed.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reasonenv.errors import UserError
from reasonenv.policy.lora import merge_adapters

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel

ATTENTION = "reasonenv_slots"
# Layers that read the same input and can be one product, by the names they bear in their parent.
FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


class PackedLinear(nn.Module):
    """y = x W^T + b on the CPU with W laid out once for the matrix kernel.

    Several layers with the same input are stacked into one product; `parts` are their output widths.
    """

    def __init__(self, layers: list[nn.Linear], dtype: torch.dtype) -> None:
        super().__init__()
        weight = torch.cat([layer.weight.detach() for layer in layers]).to(dtype)
        self.bias = None if layers[0].bias is None else torch.cat([layer.bias.detach() for layer in layers]).to(dtype)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        self.parts = [layer.out_features for layer in layers]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return y


class FusedLinear(nn.Module):
    """One of several layers with the same input: the first computes all products, the others take their part."""

    def __init__(self, stack: list[PackedLinear], shared: dict[str, Any], index: int) -> None:
        super().__init__()
        self.stack, self.shared, self.index = stack, shared, index  # a list hides the module, so it is counted once

    def forward(self, x: Tensor) -> Tensor:
        if self.shared.get("input") is not x:
            self.shared["input"] = x
            self.shared["parts"] = self.stack[0](x).split(self.stack[0].parts, dim=-1)
        part: Tensor = self.shared["parts"][self.index]
        if self.index == len(self.stack[0].parts) - 1:
            self.shared.clear()
        return part


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
    for name in ("s_aux", "softcap", "position_bias"):
        if kwargs.get(name) is not None:
            raise UserError(f"{type(module).__name__} uses {name}, which the torch sampler does not; use sampler=hf")
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
        key, value = (x.repeat_interleave(heads // shared, dim=1) for x in (key, value))
        out = nn.functional.scaled_dot_product_attention(query, key, value, scale=scale, is_causal=queries > 1)
        return out.transpose(1, 2).contiguous(), None
    assert attention_mask is not None
    prompt_key, prompt_value = slots.prompts[module.layer_idx]
    # Batched products with the query heads of one key head as rows, and over a prompt those of all its samples: its
    # keys are read once for the group. Many times faster on a CPU than the general kernel.
    folded = query.reshape(rows, shared, heads // shared, width)
    before = slots.apart(torch.bmm(slots.together(folded), prompt_key.transpose(1, 2)))  # [R, Hkv, Hq / Hkv, P]
    after = torch.bmm(folded.flatten(0, 1), key.flatten(0, 1).transpose(1, 2)).view(*folded.shape[:3], -1)
    scores = torch.cat([before, after], dim=-1).float().mul_(scale).add_(attention_mask)  # [R, Hkv, Hq / Hkv, P + W]
    before, after = scores.softmax(-1).to(value.dtype).split([before.shape[-1], after.shape[-1]], dim=-1)
    out = slots.apart(torch.bmm(slots.together(before), prompt_value))  # [R, Hkv, Hq / Hkv, D]
    out = out + torch.bmm(after.flatten(0, 1), value.flatten(0, 1)).view_as(out)
    return out.view(rows, 1, heads, -1), None


def replica(model: PreTrainedModel) -> PreTrainedModel:
    """`model` as it is now, ready for `Slots`: a snapshot with packed layers on a CPU, the live weights elsewhere.

    Adapters are merged into weights of the replica's own.
    """
    from transformers import AttentionInterface

    if not getattr(model, "_supports_attention_backend", False):
        raise UserError(f"{type(model).__name__} brings its own attention; use sampler=hf for it")
    AttentionInterface.register(ATTENTION, slot_attention)
    weights = {id(p): p for p in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, dict(weights))  # modules and config are new, weights are shared
    for config in {id(m.config): m.config for m in twin.modules() if hasattr(m, "config")}.values():
        config._attn_implementation = ATTENTION
    merge_adapters(twin)
    if model.device.type == "cpu":
        _pack(twin)
    return twin


def _packable(dtype: torch.dtype) -> bool:
    """Whether this CPU has a packed kernel for `dtype`; without bfloat16 instructions there is none for that."""
    native = dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and (native or dtype == torch.float32)


def _pack(twin: PreTrainedModel) -> None:
    """Replace linear layers by their packed form and copy the other weights, so that nothing is shared any more."""
    head = twin.get_output_embeddings()
    for parent in list(twin.modules()):
        for names in FUSED:
            layers = [layer for name in names if type(layer := getattr(parent, name, None)) is nn.Linear]
            alike = len(layers) == len(names) and len({layer.bias is None for layer in layers}) == 1
            if alike and _packable(layers[0].weight.dtype):
                stack, shared = [PackedLinear(layers, layers[0].weight.dtype)], dict[str, Any]()
                for index, name in enumerate(names):
                    setattr(parent, name, FusedLinear(stack, shared, index))
        for name, child in list(parent.named_children()):
            # The head works in float32, as `head_logits` does.
            dtype = torch.float32 if child is head else next(child.parameters(recurse=False), torch.empty(0)).dtype
            if type(child) is nn.Linear and _packable(dtype):
                setattr(parent, name, PackedLinear([child], dtype))
            else:
                for key, weight in list(child.named_parameters(recurse=False)):
                    setattr(child, key, nn.Parameter(weight.detach().clone(), requires_grad=False))


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

        self.cache: Cache = Cache(layers=[SlotLayer() for _ in range(layers)])
        self.length, self.width = length, 0
        empty = torch.empty(0, dtype=torch.int64, device=device)
        self.lengths = empty  # of each prompt held
        self.prompts: list[tuple[Tensor, Tensor]] = []  # keys and values by layer, [held * Hkv, P, D]
        self.row = self.column = self.prompt = self.chair = self.sitter = empty  # see `seat` and `aim`

    def add(self, cache: Cache, lengths: Tensor) -> None:
        """Hold the prompts in the rows of `cache` too, behind those that are held; `lengths` are theirs."""
        before, self.lengths = len(self.lengths), torch.cat([self.lengths, lengths])
        wide = int(self.lengths.max())
        fresh = [(layer.keys, layer.values) for layer in cache.layers]
        if before:
            held = [tuple(x.unflatten(0, (before, -1)) for x in layer) for layer in self.prompts]
            fresh = [
                tuple(torch.cat([_wide(x, wide), _wide(y, wide)]) for x, y in zip(old, new, strict=True))
                for old, new in zip(held, fresh, strict=True)
            ]
        self.prompts = [(_wide(k, wide).flatten(0, 1), _wide(v, wide).flatten(0, 1)) for k, v in fresh]

    def keep(self, kept: Tensor) -> None:
        """Of the prompts held, forget all but those numbered in `kept`."""
        before, self.lengths = len(self.lengths), self.lengths[kept]
        if len(kept) < before:
            self.prompts = [
                (k.unflatten(0, (before, -1))[kept].flatten(0, 1), v.unflatten(0, (before, -1))[kept].flatten(0, 1))
                for k, v in self.prompts
            ]

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
        return x[self.sitter].unflatten(0, self.table).transpose(1, 2).flatten(2, 3).flatten(0, 1)

    def apart(self, x: Tensor) -> Tensor:
        """The way back from `together`."""
        held, seats = self.table
        return x.unflatten(1, (seats, -1)).unflatten(0, (held, -1)).transpose(1, 2).flatten(0, 1)[self.chair]

    def aim(self, column: Tensor) -> Tensor:
        """Let the next forward write slot i's token to column `column[i]`; returns its mask [n, 1, 1, P + W]."""
        self.row, self.column = torch.arange(len(column), device=column.device), column
        if int(column.max()) >= self.width:
            self.width = min(self.width + self.STEP, self.length)
            for layer in self.cache.layers:
                if layer.is_initialized:
                    layer.widen()
        size = self.prompts[0][0].shape[1]
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
