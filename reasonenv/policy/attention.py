"""Attention of families: a prompt and its responses as one stretch [prompt, response 1, ..., response G] of a sequence.

The prompt attends itself, and every response attends the prompt and itself. All else in a decoder works token by token,
so families follow one another in one sequence without padding, and each prompt is computed once, forward and backward.
The function is registered with transformers' `AttentionInterface` and so serves any decoder that takes its attention
from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from reasonenv.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ATTENTION = "reasonenv_families"
SCORES = 2**24  # up to so many a CPU takes a plain product, many times faster there than the general kernel
LAYERS = {"full_attention", "sliding_attention"}  # that a family may pass; others carry a state from token to token


@dataclass(frozen=True)
class Family:
    """Where the tokens of a stretch are: a prompt of P tokens, G responses in T columns, M real tokens in all of them.

    Of one response alone, `prompt` is the whole stretch and the others are empty: that is plain causal attention.
    """

    prompt: int  # P
    size: int  # W = P + M
    place: Tensor  # [G, T] in the stretch; beyond its end a response repeats its last token
    real: Tensor  # [M], in the flattened [G * T]


def family(prompt: int, lengths: Sequence[int], device: torch.device) -> Family:
    """The family of a prompt of so many tokens and of responses of these lengths."""
    size, widest = prompt + sum(lengths), max(lengths)
    if len(lengths) == 1:
        none = torch.empty(0, dtype=torch.int64)
        return Family(size, size, none, none)
    length, column = torch.tensor(lengths)[:, None], torch.arange(widest)
    first = prompt + length.cumsum(0) - length
    real = (column < length).flatten().nonzero()[:, 0]
    return Family(prompt, size, (first + column.minimum(length - 1)).to(device), real.to(device))


def share_prompts(model: PreTrainedModel) -> bool:
    """Lets `model` take families, if it can: whether it does. Without them its attention is PyTorch's."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    if not getattr(model, "_supports_attention_backend", False) or not LAYERS.issuperset(kinds):
        return False
    AttentionInterface.register(ATTENTION, family_attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    for config in {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}.values():
        config._attn_implementation = ATTENTION
    return True


def arguments(families: Sequence[Family], device: torch.device) -> dict[str, Any]:
    """What a decoder is called with to pass `families`. The empty mask keeps it from making one of its own."""
    return {"families": families, "attention_mask": torch.empty(1, 1, 0, 0, device=device)}


def family_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    families: Sequence[Family] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """`query` [1, Hq, N, D] to `key`, `value` [1, Hkv, N, D]; returns [1, N, Hq, D]. Without families, PyTorch's."""
    if families is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        if attention_mask is not None and not attention_mask.numel():
            raise UserError(f"{type(module).__name__} does not hand on what its decoder is given; it is not supported")
        plain: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return plain
    check_plain(module, kwargs, "which is not supported in training")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out: Tensor = _Families.apply(  # type: ignore[no-untyped-call]
        query[0], key[0], value[0], families, scale, kwargs.get("sliding_window")
    )
    return out.transpose(0, 1)[None], None


def check_plain(module: nn.Module, kwargs: Mapping[str, Any], told: str) -> None:
    """Raises `UserError`, which ends in `told`, for an attention that is more than a softmax of scaled products."""
    for name in ("s_aux", "softcap", "position_bias"):
        if kwargs.get(name) is not None:
            raise UserError(f"{type(module).__name__} uses {name}, {told}")


class _Families(torch.autograd.Function):
    """Family by family. Only query, key and value are kept: what attention makes of them is made again in backward."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        families: Sequence[Family],
        scale: float,
        window: int | None,
    ) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.families, ctx.scale, ctx.window = families, scale, window
        out = query.new_empty(*query.shape[:2], value.shape[2])  # [Hq, N, D]
        for part, of in _stretches(families):
            out[:, part] = _attend(query[:, part], key[:, part], value[:, part], of, scale, window)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        found = tuple(torch.empty_like(x) for x in inputs)
        for part, of in _stretches(ctx.families):
            own = query, key, value = tuple(x[:, part].detach().requires_grad_() for x in inputs)
            with torch.enable_grad():
                out = _attend(query, key, value, of, ctx.scale, ctx.window)
            for into, grad in zip(found, torch.autograd.grad(out, own, grads[0][:, part]), strict=True):
                into[:, part] = grad
        return (*found, None, None, None)


def _stretches(families: Sequence[Family]) -> Iterator[tuple[slice, Family]]:
    start = 0
    for of in families:
        yield slice(start, start + of.size), of
        start += of.size


def _attend(query: Tensor, key: Tensor, value: Tensor, of: Family, scale: float, window: int | None) -> Tensor:
    """One family: `query` [Hq, W, D] to `key`, `value` [Hkv, W, D].  # [Hq, W, D]"""
    heads, prompt = key.shape[0], of.prompt
    query = query.reshape(heads, -1, *query.shape[1:])  # [Hkv, Hq / Hkv, W, D], query heads of one key head together
    key, value = key[:, None], value[:, None]
    out = _causal(query[:, :, :prompt], key[:, :, :prompt], value[:, :, :prompt], scale, window)
    if len(of.place):
        count, width = of.place.shape  # G, T

        def rows(x: Tensor) -> Tensor:  # [Hkv, R, W, D] to the responses [G * Hkv, R, T, D]
            x = x.index_select(2, of.place.flatten()).view(*x.shape[:2], count, width, -1)
            return x.permute(2, 0, 1, 3, 4).flatten(0, 1)

        def seen(x: Tensor) -> Tensor:  # [Hkv, 1, W, D] to what each response sees [G * Hkv, 1, P + T, D]
            return torch.cat([x[:, :, :prompt].repeat(count, 1, 1, 1), rows(x)], dim=2)

        found = _causal(rows(query), seen(key), seen(value), scale, window)
        found = found.reshape(count, heads, *found.shape[1:]).permute(1, 2, 0, 3, 4)
        out = torch.cat([out, found.flatten(2, 3).index_select(2, of.real)], dim=2)  # [Hkv, Hq / Hkv, W, D]
    return out.flatten(0, 1)


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None) -> Tensor:
    """The last keys are the queries' own; a window counts the query itself. One key head serves all query heads."""
    groups, (queries, keys) = query.shape[1], (query.shape[2], key.shape[2])
    small = query.device.type == "cpu" and query.numel() // query.shape[3] * keys <= SCORES
    wide_key, wide_value = (x.expand(-1, groups, -1, -1) for x in (key, value))
    if not small and queries == keys and (window is None or window >= keys):
        return scaled_dot_product_attention(query, wide_key, wide_value, is_causal=True, scale=scale)
    mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril(keys - queries)
    if window is not None:
        mask = mask.triu(keys - queries - window + 1)
    if not small:
        return scaled_dot_product_attention(query, wide_key, wide_value, attn_mask=mask, scale=scale)
    hidden = torch.zeros(mask.shape, dtype=query.dtype).masked_fill_(~mask, -torch.inf).repeat(groups, 1)
    scores = torch.baddbmm(hidden[None], query.flatten(1, 2), key[:, 0].transpose(1, 2), alpha=scale)
    weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
    return torch.bmm(weights, value[:, 0]).view(*query.shape[:3], -1)
