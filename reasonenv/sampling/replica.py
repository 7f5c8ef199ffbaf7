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
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of `query` [R, Hq, Q, D] to `key`, `value` [R, Hkv, W, D]; returns [R, Q, Hq, D].

    Without a mask it is the causal pass over prompts; with one (additive, [R, 1, 1, W]) it is one query a row, as a
    batched product with the query heads of one key head as rows: many times faster on a CPU than the general kernel.
    """
    for name in ("s_aux", "softcap", "position_bias"):
        if kwargs.get(name) is not None:
            raise UserError(f"{type(module).__name__} uses {name}, which the torch sampler does not; use sampler=hf")
    window = kwargs.get("sliding_window")
    if window is not None and key.shape[2] > window:
        raise UserError(
            f"{type(module).__name__} sees {window} tokens back and the sequence has {key.shape[2]}; "
            "use sampler=hf or a smaller max_tokens"
        )
    rows, heads, queries, width = query.shape
    shared = key.shape[1]
    scale = width**-0.5 if scaling is None else scaling
    if attention_mask is None:
        key, value = (x.repeat_interleave(heads // shared, dim=1) for x in (key, value))
        out = nn.functional.scaled_dot_product_attention(query, key, value, scale=scale, is_causal=queries > 1)
        return out.transpose(1, 2).contiguous(), None
    folded = query.reshape(rows * shared, heads // shared, width)
    scores = torch.bmm(folded, key.flatten(0, 1).transpose(1, 2))  # [R * Hkv, Hq / Hkv, W]
    scores = scores.float().mul_(scale).view(rows, heads, -1).add_(attention_mask[:, 0])
    weights = scores.softmax(-1).to(value.dtype).view(rows * shared, heads // shared, -1)
    out = torch.bmm(weights, value.flatten(0, 1))  # [R * Hkv, Hq / Hkv, D]
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
    """A key-value cache of `rows` slots of up to `length` columns; slots 0 .. n - 1 are in use.

    A row's tokens stand in columns 0, 1, ..., whatever its neighbours do. There are `width` columns, a few more than
    are in use: attention reads them all, because the matrix kernel would copy a cache of which it is shown a part.
    """

    STEP = 64  # columns are added so many at a time

    def __init__(self, layers: int, rows: int, length: int) -> None:
        from transformers.cache_utils import Cache, CacheLayerMixin

        slots = self

        class SlotLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers ships no types
            """One layer's keys and values, [rows, Hkv, W, D]."""

            def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
                # Zeros, because a masked column still takes part as 0 * value.
                self.keys, self.values = (
                    x.new_zeros(rows, x.shape[1], slots.width, x.shape[3]) for x in (key_states, value_states)
                )
                self.is_initialized = True

            def widen(self) -> None:
                more = (0, 0, 0, slots.width - self.keys.shape[2])
                self.keys, self.values = (nn.functional.pad(x, more) for x in (self.keys, self.values))

            def update(
                self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
            ) -> tuple[Tensor, Tensor]:
                n = slots.row.shape[0]
                self.keys[slots.row, :, slots.position] = key_states[:, :, 0]
                self.values[slots.row, :, slots.position] = value_states[:, :, 0]
                return self.keys[:n], self.values[:n]

            def get_seq_length(self) -> int:
                return slots.width - 1

            def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
                return slots.width, 0

            def get_max_length(self) -> int:
                return length

        self.cache: Cache = Cache(layers=[SlotLayer() for _ in range(layers)])
        self.row = self.position = torch.empty(0, dtype=torch.int64)
        self.length, self.width = length, 0

    def reach(self, columns: int) -> None:
        """Make room for at least so many columns."""
        if columns > self.width:
            self.width = min(-(-columns // self.STEP) * self.STEP, self.length)
            for layer in self.cache.layers:
                if layer.is_initialized:
                    layer.widen()

    def aim(self, position: Tensor) -> Tensor:
        """Let the next forward write slot i's token to column `position[i]`; returns its mask [n, 1, 1, W]."""
        self.row, self.position = torch.arange(position.shape[0], device=position.device), position
        self.reach(int(position.max()) + 1)
        hidden = torch.arange(self.width, device=position.device) > position[:, None]
        return torch.zeros(hidden.shape, device=position.device).masked_fill_(hidden, -torch.inf)[:, None, None]

    def fill(self, slots: slice, prompt: Cache, index: int, length: int) -> None:
        """Put the first `length` columns of row `index` of a `prompt` cache into each of `slots`."""
        self.reach(length)
        for mine, theirs in zip(self.cache.layers, prompt.layers, strict=True):
            if not mine.is_initialized:
                mine.lazy_initialization(theirs.keys, theirs.values)
            mine.keys[slots, :, :length] = theirs.keys[index, :, :length]
            mine.values[slots, :, :length] = theirs.values[index, :, :length]

    def move(self, source: Tensor, target: Tensor, columns: int) -> None:
        """Copy the first `columns` columns of slots `source` over slots `target`."""
        for layer in self.cache.layers:
            layer.keys[target, :, :columns] = layer.keys[source, :, :columns]
            layer.values[target, :, :columns] = layer.values[source, :, :columns]
