"""Log-probabilities of chosen tokens and the entropy of the choice, without ever holding the logits of a whole batch.

    logp_m = z_m[y_m] - lse_m,   H_m = lse_m - sum_v p_mv z_mv,   z = (h W^T + b) / temperature,   p = softmax(z)
    d logp_m / d z_m = onehot(y_m) - p_m,   d H_m / d z_mv = - p_mv (z_mv - sum_w p_mw z_mw)

Logits near 16-31 step by 1/16-1/8 in bfloat16, which is 6-13 % of a probability, so logits are always taken in float32,
here and in the sampler: where the two must agree, `head_logits` is the one definition. What flows back from them is
multiplied in the dtype of the states and the head, as in every layer below, and summed in float32.

All that the backward pass needs of a token is one row of p - onehot(y), in that dtype: the loss only scales it, and the
scale can as well be put on the states. The rows of the first tokens are saved, up to a fixed number of elements, and
all others computed anew: if none were saved, there would be four products with the head in place of three. The rows of
the entropy are made when a loss depends on it, and cost nothing where none does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

HEAD_ROWS = 2**13  # of the head, brought to float32 at once: a few MiB that malloc keeps
KEPT_ELEMENTS = 2**26  # of p - onehot(y), saved for the backward pass: 128 MiB in bfloat16


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
        head = _Head(weight, bias, temperature, chunk)
        logp, entropy = torch.empty(2, len(hidden), dtype=torch.float32, device=hidden.device)
        saved = torch.empty(0)
        if keep:
            dtype = torch.promote_types(hidden.dtype, weight.dtype)
            saved = hidden.new_empty(min(len(hidden), keep), len(weight), dtype=dtype)
        for part in _parts(len(hidden), chunk, keep):
            into = saved[part] if part.start < keep else None
            logp[part], entropy[part] = head(hidden[part], targets[part], into)
        ctx.save_for_backward(hidden, weight, bias, targets)
        ctx.temperature, ctx.chunk = temperature, chunk
        ctx.rows, ctx.content = saved, (0, False)  # the token of the first row, and whether they are of the entropy
        ctx.set_materialize_grads(False)  # an output that no loss depends on needs no gradient
        return logp, entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (hidden, weight, bias, targets), saved = ctx.saved_tensors, ctx.rows
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        d_hidden = torch.zeros_like(hidden) if need_hidden else None
        d_head: Tensor | None = None
        d_shift = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and need_bias else None
        head = None
        starts = range(0, len(hidden), max(1, len(saved)))
        for of_entropy, start in itertools.product((False, True), starts):
            gradient = grads[of_entropy]
            block = slice(start, min(start + len(saved), len(hidden)))
            if gradient is None or not gradient[block].any():  # padding, or advantage 0
                continue
            scale = -gradient[block].float() / ctx.temperature  # [n]
            rows = saved[: block.stop - start]  # [n, V]
            if ctx.content != (start, of_entropy):
                head = head or _Head(weight, bias, ctx.temperature, ctx.chunk)
                for part in _parts(len(rows), ctx.chunk):
                    if of_entropy:
                        head.entropy_rows(hidden[block][part], rows[part])
                    else:
                        head(hidden[block][part], targets[block][part], rows[part])
                ctx.content = (start, of_entropy)
            if d_hidden is not None:
                d_hidden[block] += (rows @ weight.to(rows.dtype)) * scale[:, None]
            if need_weight:
                product = rows.T @ (hidden[block] * scale[:, None]).to(rows.dtype)
                d_head = product if d_head is None else d_head.float().add_(product)
            if d_shift is not None:
                d_shift += scale @ rows.float()
        if need_weight:
            d_head = torch.zeros_like(weight) if d_head is None else d_head.to(weight.dtype)
        return (d_hidden, d_head, None if d_shift is None else d_shift.to(bias.dtype), *(None,) * 4)


def _parts(rows: int, chunk: int, keep: int = 0) -> Iterator[slice]:
    """At most `chunk` rows each, as even as can be; first those that are saved, then the rest."""
    first = min(keep, rows)
    for start, end in ((0, first), (first, rows)):
        count = math.ceil((end - start) / chunk)
        for n in range(count):
            yield slice(start + (end - start) * n // count, start + (end - start) * (n + 1) // count)


class _Head:
    """Scaled float32 logits of one chunk after another, all in the same memory."""

    def __init__(self, weight: Tensor, bias: Tensor | None, temperature: float, chunk: int) -> None:
        self.weight, self.temperature = weight, temperature
        self.shift = None if bias is None else bias.float() / temperature
        # Apart, because on a CPU each is of the last size that malloc keeps; see `chunk_elements`.
        self.logits = weight.new_empty(chunk, len(weight), dtype=torch.float32)
        self.powers = torch.empty_like(self.logits)

    def __call__(self, hidden: Tensor, targets: Tensor, into: Tensor | None) -> tuple[Tensor, Tensor]:
        """(logp [n], entropy [n]) of hidden states [n, H]; `into` [n, V] takes p - onehot(y)."""
        z, p = self._logits(hidden), self.powers[: len(hidden)]
        chosen = z.gather(1, targets[:, None])[:, 0]
        total = torch.exp(z, out=p).sum(-1)
        logp, entropy = chosen - total.log(), total.log() - z.mul_(p).sum(-1) / total
        if into is not None:
            p /= total[:, None]
            into.copy_(p.scatter_(1, targets[:, None], torch.expm1(logp)[:, None]))  # p - 1, without its cancellation
        return logp, entropy

    def entropy_rows(self, hidden: Tensor, into: Tensor) -> None:
        """`into` [n, V] takes p (z - p . z), minus the gradient of the entropy, of hidden states [n, H]."""
        z, p = self._logits(hidden), self.powers[: len(hidden)]
        total = torch.exp(z, out=p).sum(-1, keepdim=True)
        p /= total
        z -= torch.einsum("nv,nv->n", z, p)[:, None]
        into.copy_(z.mul_(p))

    def _logits(self, hidden: Tensor) -> Tensor:
        """Scaled logits less the largest of each token.  # [n, V]"""
        z = self.logits[: len(hidden)]
        hidden = hidden.float() / self.temperature
        for first in range(0, len(self.weight), HEAD_ROWS):
            rows = slice(first, first + HEAD_ROWS)
            torch.mm(hidden, self.weight[rows].float().T, out=z[:, rows])
        if self.shift is not None:
            z += self.shift
        z -= z.amax(-1, keepdim=True)
        return z


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

    Both have gradients to hidden, weight and bias; that of `entropy` costs three products with the head, and nothing
    where no loss depends on it. At most `chunk` rows of logits are made at any time, in both directions, and `keep`
    rows of p - onehot(y) are saved for the backward pass.
    """
    assert (hidden.dim(), targets.shape) == (2, hidden.shape[:1]), "hidden [M, H] and targets [M]"
    assert temperature > 0, "a temperature of 0 has no distribution"
    chunk = min(chunk or max(1, chunk_elements(weight.device) // weight.shape[0]), max(1, len(hidden)))
    keep = max(1, KEPT_ELEMENTS // weight.shape[0] if keep is None else keep)  # backward holds at least one
    if not (torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (hidden, weight, bias))):
        keep = 0
    logp, entropy = _TokenLogprobs.apply(hidden, weight, bias, targets, temperature, chunk, keep)  # type: ignore[no-untyped-call]
    return logp, entropy
