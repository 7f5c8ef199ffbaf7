"""Log-probabilities of chosen tokens and the entropy of the choice, without ever holding the logits of a whole batch.

    logp_m = z_m[y_m] - lse_m,   H_m = lse_m - sum_v p_mv z_mv,   z = (h W^T + b) / temperature,   p = softmax(z)
    d logp_m / d z_m = onehot(y_m) - p_m

Logits near 16-31 step by 1/16-1/8 in bfloat16, which is 6-13 % of a probability, so logits are always taken in float32,
here and in the sampler: where the two must agree, `head_logits` is the one definition. What flows back from them is
multiplied in the dtype of the states and the head, as in every layer below, and summed in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def head_logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Unscaled logits in float32 of hidden states [M, H] under a head [V, H].  # [M, V]"""
    return torch.nn.functional.linear(hidden.float(), weight.float(), None if bias is None else bias.float())


def chunk_elements(device: torch.device) -> int:
    """Logits held at once. On a CPU 32 MiB: as fast as more, and the last size that malloc keeps for the next time."""
    return 2**23 if device.type == "cpu" else 2**26


class _TokenLogprobs(torch.autograd.Function):
    """The chunked forward and its hand-written gradient; see `token_logprobs`."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, temperature: float, chunk: int
    ) -> tuple[Tensor, Tensor]:
        rows = hidden.shape[0]
        logits = _Logits(weight, bias, temperature, min(rows, chunk))
        logp, entropy, lse = (torch.empty(rows, dtype=torch.float32, device=hidden.device) for _ in range(3))
        for start in range(0, rows, chunk):
            part = slice(start, start + chunk)
            z, other = logits(hidden[part])  # [chunk, V]
            peak = z.amax(-1)
            z -= peak[:, None]
            chosen = z.gather(1, targets[part, None])[:, 0]
            unscaled = torch.exp(z, out=other)  # probabilities but for their sum
            total = unscaled.sum(-1)
            lse[part] = peak + total.log()
            logp[part] = chosen - total.log()
            entropy[part] = total.log() - torch.linalg.vecdot(unscaled, z) / total
        ctx.save_for_backward(hidden, weight, bias, targets, lse)
        ctx.temperature, ctx.chunk = temperature, chunk
        ctx.mark_non_differentiable(entropy)
        return logp, entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, lse = ctx.saved_tensors
        grad = grads[0].float()
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        dtype = torch.promote_types(hidden.dtype, weight.dtype)
        d_hidden = torch.zeros_like(hidden) if need_hidden else None
        d_head = torch.zeros_like(weight, dtype=torch.float32) if need_weight else None
        d_shift = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and need_bias else None
        live = grad.nonzero()[:, 0]  # a token with weight 0 (padding, a group that teaches nothing) costs nothing
        logits = _Logits(weight, bias, ctx.temperature, min(len(live), ctx.chunk))
        for part in torch.split(live, ctx.chunk) if len(live) else ():
            states = hidden[part]
            z, _ = logits(states)  # [chunk, V]
            scale = grad[part, None] / ctx.temperature
            d_logits = z.sub_(lse[part, None]).exp_().mul_(-scale)
            d_logits.scatter_add_(1, targets[part, None], scale)
            if d_shift is not None:
                d_shift += d_logits.sum(0)
            d_logits = d_logits.to(dtype)
            if d_hidden is not None:
                d_hidden[part] = (d_logits @ weight.to(dtype)).to(hidden.dtype)
            if d_head is not None and dtype == torch.float32:
                d_head.addmm_(d_logits.T, states.to(dtype))
            elif d_head is not None:
                d_head += d_logits.T @ states.to(dtype)
        return (
            d_hidden,
            None if d_head is None else d_head.to(weight.dtype),
            None if d_shift is None else d_shift.to(bias.dtype),
            None,
            None,
            None,
        )


class _Logits:
    """Scaled float32 logits of one chunk after another, all in the same memory."""

    def __init__(self, weight: Tensor, bias: Tensor | None, temperature: float, rows: int) -> None:
        self.head, self.temperature = weight.float().T, temperature
        self.shift = None if bias is None else bias.float() / temperature
        self.room = torch.empty(2, rows, weight.shape[0], dtype=torch.float32, device=weight.device)

    def __call__(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Of hidden states [M, H], and as much room again.  # [M, V], [M, V]"""
        own, other = self.room[:, : len(hidden)]
        torch.mm(hidden.float() / self.temperature, self.head, out=own)
        return own if self.shift is None else own.add_(self.shift), other


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
    chunk = chunk or max(1, chunk_elements(weight.device) // weight.shape[0])
    logp, entropy = _TokenLogprobs.apply(hidden, weight, bias, targets, temperature, chunk)  # type: ignore[no-untyped-call]
    return logp, entropy
