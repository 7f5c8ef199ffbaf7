"""A copy of a causal LM made for decoding: packed weights, and the attention of `slots`.

It holds for any decoder-only model that takes its attention from transformers' `AttentionInterface`; the model it is
made from is not changed.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reasonenv.errors import UserError
from reasonenv.policy.attention import use_attention
from reasonenv.policy.lora import merge_adapters
from reasonenv.policy.pretrained import native_dtype
from reasonenv.sampling.torch.slots import ATTENTION, slot_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

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


def replica(model: PreTrainedModel) -> PreTrainedModel:
    """`model` as it is now, ready for `Slots`: a snapshot with packed layers on a CPU, the live weights elsewhere.

    Adapters are merged into weights of the replica's own.
    """
    from transformers import AttentionInterface

    if not getattr(model, "_supports_attention_backend", False):
        raise UserError(f"{type(model).__name__} brings its own attention; use sampler=hf for it")
    AttentionInterface.register(ATTENTION, slot_attention)
    twin = merged(model)
    use_attention(twin, ATTENTION)
    if model.device.type == "cpu":
        _pack(twin)
    return twin


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """`model` without adapters: they are in weights of its own, all others are shared. Modules and config are new."""
    weights: dict[int, Any] = {id(p): p for p in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, weights)
    merge_adapters(twin)
    return twin


def _packable(dtype: torch.dtype) -> bool:
    """Whether this CPU has a packed kernel for `dtype`; without bfloat16 instructions there is none for that."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and dtype in (torch.float32, native_dtype("cpu"))


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
            # The head works in float32, as `Head` does.
            dtype = torch.float32 if child is head else next(child.parameters(recurse=False), torch.empty(0)).dtype
            if type(child) is nn.Linear and _packable(dtype):
                setattr(parent, name, PackedLinear([child], dtype))
            else:
                for key, weight in list(child.named_parameters(recurse=False)):
                    setattr(child, key, nn.Parameter(weight.detach().clone(), requires_grad=False))
