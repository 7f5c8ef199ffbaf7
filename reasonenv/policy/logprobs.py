"""Log-probabilities of chosen tokens and the entropy of the choice, without ever holding the logits of a whole batch.

    logp_m = z_m[y_m] - lse_m,   H_m = lse_m - sum_v p_mv z_mv,   z = (h W^T + b) / temperature,   p = softmax(z)
    d logp_m / d z_m = onehot(y_m) - p_m

Logits near 16-31 step by 1/16-1/8 in bfloat16, which is 6-13 % of a probability, so logits are always taken in float32,
here and in the sampler: where the two must agree, `head_logits` is the one definition. What flows back from them is
multiplied in the dtype of the states and the head, as in every layer below, and summed in float32.

The backward pass needs the probabilities again. Those of the first tokens are kept, as far as a fixed room goes, and of
all others computed anew: without any kept, there would be four products with the head in place of three.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

KEPT_ELEMENTS = 2**26  # probabilities kept for the backward pass, 256 MiB


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
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        temperature: float,
        chunk: int,
        keep: int,
    ) -> tuple[Tensor, Tensor]:
        rows = hidden.shape[0]
        logits = _Logits(weight, bias, temperature, min(rows, chunk))
        kept = [logits.room.new_empty(min(rows, keep), weight.shape[0])] if keep else []  # probabilities times `total`
        spare = logits.room.new_empty(min(rows, chunk) if keep < rows else 0, weight.shape[0])
        logp, entropy, lse, total = torch.empty(4, rows, dtype=torch.float32, device=hidden.device)
        for part in _chunks(rows, chunk, keep):
            z = logits(hidden[part])  # [chunk, V]
            peak = z.amax(-1)
            z -= peak[:, None]
            unscaled = torch.exp(z, out=kept[0][part] if part.start < keep else spare[: len(z)])
            sums = unscaled.sum(-1)
            lse[part], total[part] = peak + sums.log(), sums
            logp[part] = z.gather(1, targets[part, None])[:, 0] - sums.log()
            entropy[part] = sums.log() - torch.linalg.vecdot(unscaled, z) / sums
        ctx.save_for_backward(hidden, weight, bias, targets, lse, total, *kept)
        ctx.temperature, ctx.chunk, ctx.keep = temperature, chunk, keep
        ctx.mark_non_differentiable(entropy)
        return logp, entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, lse, total, *kept = ctx.saved_tensors
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        dtype = torch.promote_types(hidden.dtype, weight.dtype)
        d_hidden = torch.zeros_like(hidden) if need_hidden else None
        d_head = torch.zeros_like(weight, dtype=torch.float32) if need_weight else None
        d_shift = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and need_bias else None
        rows = len(hidden)
        logits = _Logits(weight, bias, ctx.temperature, min(rows, ctx.chunk))
        for part in _chunks(rows, ctx.chunk, ctx.keep):
            scale = grads[0][part].float() / ctx.temperature
            if not scale.any():  # padding, or groups that teach nothing
                continue
            if part.start < ctx.keep:
                d_logits = torch.mul(kept[0][part], -(scale / total[part])[:, None], out=logits.room[: len(scale)])
            else:
                d_logits = logits(hidden[part]).sub_(lse[part, None]).exp_().mul_(-scale[:, None])
            d_logits.scatter_add_(1, targets[part, None], scale[:, None])
            if d_shift is not None:
                d_shift += d_logits.sum(0)
            d_logits, states = d_logits.to(dtype), hidden[part].to(dtype)
            if d_hidden is not None:
                d_hidden[part] = (d_logits @ weight.to(dtype)).to(hidden.dtype)
            if d_head is not None and dtype == torch.float32:
                d_head.addmm_(d_logits.T, states)
            elif d_head is not None:
                d_head += d_logits.T @ states
        return (
            d_hidden,
            None if d_head is None else d_head.to(weight.dtype),
            None if d_shift is None else d_shift.to(bias.dtype),
            *(None,) * 4,
        )


def _chunks(rows: int, chunk: int, keep: int) -> Iterator[slice]:
    """First what is kept, then the rest."""
    for first, end in ((0, min(keep, rows)), (keep, rows)):
        for start in range(first, end, chunk):
            yield slice(start, min(start + chunk, end))


class _Logits:
    """Scaled float32 logits of one chunk after another, all in the same memory."""

    def __init__(self, weight: Tensor, bias: Tensor | None, temperature: float, rows: int) -> None:
        self.weight, self.temperature = weight, temperature
        self.shift = None if bias is None else bias.float() / temperature
        self.room = torch.empty(rows, weight.shape[0], dtype=torch.float32, device=weight.device)

    @cached_property
    def head(self) -> Tensor:
        """[H, V]; not made where all probabilities are kept."""
        return self.weight.float().T

    def __call__(self, hidden: Tensor) -> Tensor:
        """Of hidden states [M, H].  # [M, V]"""
        own = torch.mm(hidden.float() / self.temperature, self.head, out=self.room[: len(hidden)])
        return own if self.shift is None else own.add_(self.shift)


def token_logprobs(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
    keep: int | None = None,
) -> tuple[Tensor, Tensor]:
    """(logp [M], entropy [M]) in float32 of `targets` [M] under the head `weight` [V, H] on `hidden` states [M, H].

    `logp` has gradients to hidden, weight and bias; `entropy` has none. At most `chunk` rows of logits are made at any
    time, in both directions, and `keep` rows of probabilities are kept from one to the other.
    """
    assert (hidden.dim(), targets.shape) == (2, hidden.shape[:1]), "hidden [M, H] and targets [M]"
    assert temperature > 0, "a temperature of 0 has no distribution"
    chunk = chunk or max(1, chunk_elements(weight.device) // weight.shape[0])
    keep = KEPT_ELEMENTS // weight.shape[0] if keep is None else keep
    if not (torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (hidden, weight, bias))):
        keep = 0
    logp, entropy = _TokenLogprobs.apply(hidden, weight, bias, targets, temperature, chunk, keep)  # type: ignore[no-untyped-call]
    return logp, entropy
