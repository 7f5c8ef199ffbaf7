"""Attention of groups: a prompt and its responses as one stretch [prompt, response 1, ..., response G] of a sequence.

The prompt attends itself, and every response attends the prompt and itself. All else in a decoder works token by token,
so groups follow one another in one sequence without padding, and each prompt is computed once, forward and backward.
Groups alike in the size of prompt and group make a family, whose attention is one product: of small groups, each alone
would be too little work for its kernels.
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
    """Where the tokens of n alike groups are in their stretch of M: prompts of P tokens, each with G responses.

    Of a response alone the prompt is the beginning of its row, so P = 0: that is plain causal attention.
    """

    size: int  # M
    prompts: Tensor  # [n, P] in the stretch
    responses: Tensor  # [n * G, T] in the stretch; beyond its end a response repeats its last token
    seen: Tensor  # [n * G, P + T] in the stretch: the prompt of each response, then the response
    real: Tensor  # [M], where each token is among the [n * P] of the prompts and, behind them, the [n * G * T]


def family(prompt: int, lengths: Sequence[Sequence[int]], device: torch.device) -> Family:
    """The family of prompts of so many tokens, one after another, each followed by its responses of these `lengths`."""
    rows = torch.tensor(lengths)  # [n, G]
    if rows.shape[1] == 1:
        rows, prompt = rows + prompt, 0
    sizes = prompt + rows.sum(dim=1)  # [n]
    begin = (sizes.cumsum(0) - sizes)[:, None]  # [n, 1]
    prompts = begin + torch.arange(prompt)
    first, length = (begin + prompt + rows.cumsum(1) - rows).reshape(-1, 1), rows.reshape(-1, 1)  # [n * G, 1]
    column = torch.arange(int(length.max()))
    responses = first + column.minimum(length - 1)
    seen = torch.cat([prompts.repeat_interleave(rows.shape[1], dim=0), responses], dim=1)
    kept = torch.cat([torch.ones(prompts.numel(), dtype=torch.bool), (column < length).flatten()]).nonzero()[:, 0]
    real = torch.empty(len(kept), dtype=torch.int64)
    real[torch.cat([prompts.flatten(), responses.flatten()])[kept]] = kept
    return Family(len(kept), *(x.to(device) for x in (prompts, responses, seen, real)))


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
    """One family: `query` [Hq, M, D] to `key`, `value` [Hkv, M, D].  # [Hq, M, D]"""
    heads = key.shape[0]
    query = query.reshape(heads, -1, *query.shape[1:])  # [Hkv, Hq / Hkv, M, D], query heads of one key head together
    key, value = key[:, None], value[:, None]

    def rows(x: Tensor, place: Tensor) -> Tensor:  # [Hkv, R, M, D] at the places [B, T] is [B * Hkv, R, T, D]
        x = x.index_select(2, place.flatten()).view(*x.shape[:2], *place.shape, -1)
        return x.permute(2, 0, 1, 3, 4).flatten(0, 1)

    found = []
    for asking, seen in ((of.prompts, of.prompts), (of.responses, of.seen)):
        if asking.numel():
            out = _causal(rows(query, asking), rows(key, seen), rows(value, seen), scale, window)
            found.append(out.view(-1, heads, *out.shape[1:]).permute(1, 2, 0, 3, 4).flatten(2, 3))
    return torch.cat(found, dim=2).index_select(2, of.real).flatten(0, 1)


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
