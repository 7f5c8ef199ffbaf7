"""Attention where rows share a prompt: a segment [prompt, response 1, ..., response G] of a sequence is one such group.

The prompt attends itself, and every response attends the prompt and itself. All else in a decoder works token by token,
so segments follow one another in one sequence without padding, and each prompt is computed once, forward and backward.
Segments of equal prompt and group size are attended together, as one product of a `SegmentBatch`: of small ones, each
alone would be too little work for its kernels.
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

ATTENTION = "reasonenv_shared_prompts"
SCORES = 2**24  # up to so many a CPU takes a plain product, many times faster there than the general kernel
LAYERS = {"full_attention", "sliding_attention"}  # that segments may pass; others carry a state from token to token


@dataclass(frozen=True)
class SegmentBatch:
    """Where the tokens of n segments, one after another, stand among their M: prompts of P tokens, G responses each.

    Of a response alone the prompt is the beginning of its row, so P = 0: that is plain causal attention.
    """

    size: int  # M
    prompts: Tensor  # [n, P], places among the M
    responses: Tensor  # [n * G, T], places; beyond its end a response repeats its last token
    keys: Tensor  # [n * G, P + T], places of the prompt of each response, then of the response
    unpad: Tensor  # [M], where each token is among the [n * P] of the prompts and, behind them, the [n * G * T]


def segment_batch(prompt: int, rows: Tensor, device: torch.device) -> SegmentBatch:
    """Segments with prompts of so many tokens, each followed by its responses of the lengths `rows` [n, G]."""
    if rows.shape[1] == 1:
        rows, prompt = rows + prompt, 0
    sizes = prompt + rows.sum(dim=1)  # [n]
    begin = (sizes.cumsum(0) - sizes)[:, None]  # [n, 1]
    prompts = begin + torch.arange(prompt)
    first, length = (begin + prompt + rows.cumsum(1) - rows).reshape(-1, 1), rows.reshape(-1, 1)  # [n * G, 1]
    column = torch.arange(int(length.max()))
    responses = first + column.minimum(length - 1)
    keys = torch.cat([prompts.repeat_interleave(rows.shape[1], dim=0), responses], dim=1)
    real = torch.cat([torch.ones(prompts.numel(), dtype=torch.bool), (column < length).flatten()])
    padded = real.nonzero()[:, 0]  # where the tokens are among prompts and padded responses
    unpad = torch.empty(len(padded), dtype=torch.int64)
    unpad[torch.cat([prompts.flatten(), responses.flatten()])[padded]] = padded
    return SegmentBatch(len(padded), prompts.to(device), responses.to(device), keys.to(device), unpad.to(device))


def share_prompts(model: PreTrainedModel) -> bool:
    """Lets `model` take segments, if it can: whether it does. Without them its attention is PyTorch's."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    takes = getattr(model, "_supports_attention_backend", False) and getattr(model, "_supports_sdpa", True)
    if not takes or not LAYERS.issuperset(kinds):
        return False
    AttentionInterface.register(ATTENTION, segment_attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    use_attention(model, ATTENTION)
    return True


def use_attention(model: PreTrainedModel, name: str) -> None:
    """Lets every part of `model` attend by the function of this name in transformers' `AttentionInterface`."""
    for module in model.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = name


def segment_arguments(batches: Sequence[SegmentBatch], device: torch.device) -> dict[str, Any]:
    """The keyword arguments with which a decoder passes segments.

    The mask is empty, because a decoder that is given none makes one of its own, of all tokens with all.
    """
    return {"segments": batches, "attention_mask": torch.empty(1, 1, 0, 0, device=device)}


def segment_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    segments: Sequence[SegmentBatch] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """`query` [1, Hq, N, D] to `key`, `value` [1, Hkv, N, D]; returns [1, N, Hq, D]. Without segments, PyTorch's."""
    cap = kwargs.get("softcap")
    if segments is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        if attention_mask is not None and not attention_mask.numel():
            raise UserError(f"{type(module).__name__} does not hand on what its decoder is given; it is not supported")
        if cap is not None:  # which PyTorch's would leave out
            return capped_attention(query, key, value, attention_mask, scaling, cap), None
        plain: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return plain
    check_plain(module, kwargs, "which is not supported in training")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out: Tensor = _SegmentAttention.apply(  # type: ignore[no-untyped-call]
        query[0], key[0], value[0], segments, scale, kwargs.get("sliding_window"), cap
    )
    return out.transpose(0, 1)[None], None


def capped(scores: Tensor, cap: float | None) -> Tensor:
    """c tanh(s / c) of scaled scores: the cap of Gemma 2 (2408.00118, section 2)."""
    return scores if cap is None else cap * (scores / cap).tanh()


def capped_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None, cap: float
) -> Tensor:
    """Attention of `query` [R, Hq, Q, D] to `key`, `value` [R, Hkv, K, D] with capped scores.  # [R, Q, Hq, D]

    `mask` is boolean or additive, [R, 1, Q, K]; without one the last query sees all keys and none sees what follows it.
    """
    queries, keys, groups = query.shape[2], key.shape[2], query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = capped(torch.matmul(query, key.transpose(2, 3)) * scale, cap)
    if mask is None:
        mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril(keys - queries)
    if mask.dtype == torch.bool:  # not by minus infinity: a row of padding would have nothing else
        mask = torch.zeros_like(scores).masked_fill_(~mask, torch.finfo(scores.dtype).min)
    scores = scores + mask
    weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
    return torch.matmul(weights, value).transpose(1, 2).contiguous()


def check_plain(module: nn.Module, kwargs: Mapping[str, Any], consequence: str) -> None:
    """Raises `UserError`, which ends in `consequence`, where attention is more than a softmax of scaled products."""
    for name in ("s_aux", "position_bias"):
        if kwargs.get(name) is not None:
            raise UserError(f"{type(module).__name__} uses {name}, {consequence}")


class _SegmentAttention(torch.autograd.Function):
    """Saves only query, key and value: what attention makes of them is computed again in backward."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        batches: Sequence[SegmentBatch],
        *settings: Any,
    ) -> Tensor:
        """`settings` are scale, window and cap."""
        ctx.save_for_backward(query, key, value)
        ctx.batches, ctx.settings = batches, settings
        out = query.new_empty(*query.shape[:2], value.shape[2])  # [Hq, N, D]
        for part, batch in _parts(batches):
            out[:, part] = _attend(query[:, part], key[:, part], value[:, part], batch, *settings)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        gradients = tuple(torch.empty_like(x) for x in inputs)
        for part, batch in _parts(ctx.batches):
            leaves = query, key, value = tuple(x[:, part].detach().requires_grad_() for x in inputs)
            with torch.enable_grad():
                out = _attend(query, key, value, batch, *ctx.settings)
            for whole, gradient in zip(gradients, torch.autograd.grad(out, leaves, grads[0][:, part]), strict=True):
                whole[:, part] = gradient
        return (*gradients, *(None,) * 4)


def _parts(batches: Sequence[SegmentBatch]) -> Iterator[tuple[slice, SegmentBatch]]:
    """Where each batch stands in the sequence."""
    start = 0
    for batch in batches:
        yield slice(start, start + batch.size), batch
        start += batch.size


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    batch: SegmentBatch,
    scale: float,
    window: int | None,
    cap: float | None,
) -> Tensor:
    """One batch of segments: `query` [Hq, M, D] to `key`, `value` [Hkv, M, D].  # [Hq, M, D]"""
    heads = key.shape[0]
    query = query.reshape(heads, -1, *query.shape[1:])  # [Hkv, Hq / Hkv, M, D], query heads of one key head together
    key, value = key[:, None], value[:, None]

    def rows(x: Tensor, places: Tensor) -> Tensor:  # [Hkv, R, M, D] at the places [B, T] is [B * Hkv, R, T, D]
        x = x.index_select(2, places.flatten()).view(*x.shape[:2], *places.shape, -1)
        return x.permute(2, 0, 1, 3, 4).flatten(0, 1)

    padded = []
    for queries, keys in ((batch.prompts, batch.prompts), (batch.responses, batch.keys)):
        if queries.numel():
            out = _causal(rows(query, queries), rows(key, keys), rows(value, keys), scale, window, cap)
            padded.append(out.view(-1, heads, *out.shape[1:]).permute(1, 2, 0, 3, 4).flatten(2, 3))
    return torch.cat(padded, dim=2).index_select(2, batch.unpad).flatten(0, 1)


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None, cap: float | None) -> Tensor:
    """The last query sees all keys; a window counts the query itself. One key head serves all query heads."""
    groups, (queries, keys) = query.shape[1], (query.shape[2], key.shape[2])
    small = query.device.type == "cpu" and query.numel() // query.shape[3] * keys <= SCORES
    small = small or cap is not None  # PyTorch's kernel knows no cap
    wide_key, wide_value = key.expand(-1, groups, -1, -1), value.expand(-1, groups, -1, -1)
    if not small and queries == keys and (window is None or window >= keys):
        return scaled_dot_product_attention(query, wide_key, wide_value, is_causal=True, scale=scale)
    mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril(keys - queries)
    if window is not None:
        mask = mask.triu(keys - queries - window + 1)
    if not small:
        return scaled_dot_product_attention(query, wide_key, wide_value, attn_mask=mask, scale=scale)
    hidden = torch.zeros(mask.shape, dtype=query.dtype).masked_fill_(~mask, -torch.inf).repeat(groups, 1)
    if cap is None:
        scores = torch.baddbmm(hidden[None], query.flatten(1, 2), key[:, 0].transpose(1, 2), alpha=scale)
    else:
        scores = hidden + capped(torch.bmm(query.flatten(1, 2), key[:, 0].transpose(1, 2)) * scale, cap)
    weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
    return torch.bmm(weights, value[:, 0]).view(*query.shape[:3], -1)
