"""Log-probabilities of chosen tokens and the entropy of the choice, without ever holding the logits of a whole batch.

    logp_m = z_m[y_m] - lse_m,   H_m = lse_m - sum_v p_mv z_mv,   z = (h W^T + b) / temperature,   p = softmax(z)
    d logp_m / d z_m = onehot(y_m) - p_m

Logits near 16-31 step by 1/16-1/8 in bfloat16, which is 6-13 % of a probability, so the head's product is always taken
in float32, here and in the sampler: where the two must agree, `head_logits` is the one definition.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_ELEMENTS = 2**24  # logits held at once, 64 MiB in float32


def head_logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Unscaled logits in float32 of hidden states [M, H] under a head [V, H].  # [M, V]"""
    return torch.nn.functional.linear(hidden.float(), weight.float(), None if bias is None else bias.float())


class _TokenLogprobs(torch.autograd.Function):
    """The chunked forward and its hand-written gradient; see `token_logprobs`."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, temperature: float, chunk: int
    ) -> tuple[Tensor, Tensor]:
        rows = hidden.shape[0]
        head, shift = weight.float(), None if bias is None else bias.float()
        logp, entropy, lse = (torch.empty(rows, dtype=torch.float32, device=hidden.device) for _ in range(3))
        for start in range(0, rows, chunk):
            part = slice(start, start + chunk)
            logits = head_logits(hidden[part], head, shift).div_(temperature)  # [chunk, V]
            lse[part] = logits.logsumexp(-1)
            logits -= lse[part, None]  # log-probabilities
            logp[part] = logits.gather(1, targets[part, None])[:, 0]
            entropy[part] = torch.linalg.vecdot(logits.exp(), logits).neg_()
        ctx.save_for_backward(hidden, weight, bias, targets, lse)
        ctx.temperature, ctx.chunk = temperature, chunk
        ctx.mark_non_differentiable(entropy)
        return logp, entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, lse = ctx.saved_tensors
        grad = grads[0].float()
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        head, shift = weight.float(), None if bias is None else bias.float()
        d_hidden = torch.zeros_like(hidden) if need_hidden else None
        d_head = torch.zeros_like(head) if need_weight else None
        d_shift = None if shift is None or not need_bias else torch.zeros_like(shift)
        live = grad.nonzero()[:, 0]  # a token with weight 0 (padding, a group that teaches nothing) costs nothing
        for part in torch.split(live, ctx.chunk):
            states = hidden[part]
            logits = head_logits(states, head, shift).div_(ctx.temperature)  # [chunk, V]
            d_logits = logits.sub_(lse[part, None]).exp_().mul_(-grad[part, None])
            d_logits.scatter_add_(1, targets[part, None], grad[part, None])
            d_logits /= ctx.temperature
            if d_hidden is not None:
                d_hidden[part] = (d_logits @ head).to(hidden.dtype)
            if d_head is not None:
                d_head.addmm_(d_logits.T, states.float())
            if d_shift is not None:
                d_shift += d_logits.sum(0)
        return (
            d_hidden,
            None if d_head is None else d_head.to(weight.dtype),
            None if d_shift is None else d_shift.to(bias.dtype),
            None,
            None,
            None,
        )


def token_logprobs(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """(logp [M], entropy [M]) in float32 of `targets` [M] under the head `weight` [V, H] on `hidden` states [M, H].

    `logp` has gradients to hidden, weight and bias; `entropy` has none. At most `chunk` rows of logits exist at any
    time, in both directions.
    """
    assert (hidden.dim(), targets.shape) == (2, hidden.shape[:1]), "hidden [M, H] and targets [M]"
    assert temperature > 0, "a temperature of 0 has no distribution"
    chunk = chunk or max(1, CHUNK_ELEMENTS // weight.shape[0])
    logp, entropy = _TokenLogprobs.apply(hidden, weight, bias, targets, temperature, chunk)  # type: ignore[no-untyped-call]
    return logp, entropy
