"""Log-probabilities of chosen tokens and the entropy of the choice, without ever holding the logits of a whole batch.

    logp_m = z_m[y_m] - lse_m,   H_m = lse_m - sum_v p_mv z_mv,   z = logits / temperature,   p = softmax(z)
    d logp_m / d z_m = onehot(y_m) - p_m,   d H_m / d z_mv = - p_mv (z_mv - sum_w p_mw z_mw)

Logits near 16-31 step by 1/16-1/8 in bfloat16, which is 6-13 % of a probability, so logits are always taken in float32,
here and in the sampler: where the two must agree, `Head` is the one definition. What flows back from them is
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
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

HEAD_ROWS = 2**13  # of the head, brought to float32 at once: a few MiB that malloc keeps
KEPT_ELEMENTS = 2**26  # of p - onehot(y), saved for the backward pass: 128 MiB in bfloat16


LEAST = torch.finfo(torch.float32).min  # of a logit: its exponential is 0, and their product is 0 and not nan


@dataclass(frozen=True)
class Head:
    """The last layer of a policy, from a hidden state h to the logits of the next token.

        logits = cap(scale (h W^T + b)),   cap(x) = c tanh(x / c), or x without a c;   -inf where an id is no token

    A head may have more rows than its tokenizer has tokens. Such ids have probability 0 in training and in sampling:
    with any mass on them the two would be different distributions, and a draw of one could not be read.
    """

    weight: Tensor  # [V, H]
    bias: Tensor | None = None  # [V]
    scale: float = 1.0
    cap: float | None = None  # c
    absent: Tensor | None = None  # the ids that are no token; None if there are none

    @property
    def tokens(self) -> int:
        """How many ids are tokens."""
        return len(self.weight) - (0 if self.absent is None else len(self.absent))

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits in float32 of hidden states [M, H].  # [M, V]"""
        bias = None if self.bias is None else self.bias.float()
        return self.finished(torch.nn.functional.linear(hidden.float(), self.weight.float(), bias))

    def finished(self, products: Tensor) -> Tensor:
        """The logits of h W^T + b [M, V], in the same memory."""
        if self.scale != 1:
            products *= self.scale
        if self.cap is not None:
            products.div_(self.cap).tanh_().mul_(self.cap)
        return self.masked(products, -torch.inf)

    def masked(self, logits: Tensor, value: float) -> Tensor:
        """`logits` [M, V] with `value` where an id is no token, in the same memory."""
        return logits if self.absent is None else logits.index_fill_(1, self.absent, value)


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
        head: Head,
        temperature: float,
        chunk: int,
        keep: int,
    ) -> tuple[Tensor, Tensor]:
        chunks = _Chunks(head, temperature, chunk)
        logp, entropy = torch.empty(2, len(hidden), dtype=torch.float32, device=hidden.device)
        saved = torch.empty(0)
        if keep:
            dtype = torch.promote_types(hidden.dtype, weight.dtype)
            saved = hidden.new_empty(min(len(hidden), keep), len(weight), dtype=dtype)
        for part in _parts(len(hidden), chunk, keep):
            into = saved[part] if part.start < keep else None
            logp[part], entropy[part] = chunks(hidden[part], targets[part], into)
        ctx.save_for_backward(hidden, weight, bias, targets)
        ctx.head, ctx.temperature, ctx.chunk = head, temperature, chunk
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
        chunks = None
        starts = range(0, len(hidden), max(1, len(saved)))
        for of_entropy, start in itertools.product((False, True), starts):
            gradient = grads[of_entropy]
            block = slice(start, min(start + len(saved), len(hidden)))
            if gradient is None or not gradient[block].any():  # padding, or advantage 0
                continue
            scale = -gradient[block].float() / (ctx.temperature / ctx.head.scale)  # [n]
            rows = saved[: block.stop - start]  # [n, V]
            if ctx.content != (start, of_entropy):
                chunks = chunks or _Chunks(ctx.head, ctx.temperature, ctx.chunk)
                for part in _parts(len(rows), ctx.chunk):
                    if of_entropy:
                        chunks.entropy_rows(hidden[block][part], rows[part])
                    else:
                        chunks(hidden[block][part], targets[block][part], rows[part])
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
        return (d_hidden, d_head, None if d_shift is None else d_shift.to(bias.dtype), *(None,) * 5)


def _parts(rows: int, chunk: int, keep: int = 0) -> Iterator[slice]:
    """At most `chunk` rows each, as even as can be; first those that are saved, then the rest."""
    first = min(keep, rows)
    for start, end in ((0, first), (first, rows)):
        count = math.ceil((end - start) / chunk)
        for n in range(count):
            yield slice(start + (end - start) * n // count, start + (end - start) * (n + 1) // count)


class _Chunks:
    """The distributions of one chunk of tokens after another, in float32 and all in the same memory."""

    def __init__(self, head: Head, temperature: float, chunk: int) -> None:
        self.head = head
        self.divisor = temperature / head.scale
        self.cap = None if head.cap is None else head.cap / temperature
        self.shift = None if head.bias is None else head.bias.float() / self.divisor
        # Apart, because on a CPU each is of the last size that malloc keeps; see `chunk_elements`.
        self.logits = head.weight.new_empty(chunk, len(head.weight), dtype=torch.float32)
        self.powers = torch.empty_like(self.logits)
        self.slopes = None if self.cap is None else torch.empty_like(self.logits)  # of the cap: 1 - tanh^2

    def __call__(self, hidden: Tensor, targets: Tensor, into: Tensor | None) -> tuple[Tensor, Tensor]:
        """(logp [n], entropy [n]) of hidden states [n, H]; `into` [n, V] takes p - onehot(y)."""
        z, p = self._logits(hidden), self.powers[: len(hidden)]
        chosen = z.gather(1, targets[:, None])[:, 0]
        total = torch.exp(z, out=p).sum(-1)
        logp, entropy = chosen - total.log(), total.log() - z.mul_(p).sum(-1) / total
        if into is not None:
            p /= total[:, None]
            # p - 1, without its cancellation
            self._below_cap(p.scatter_(1, targets[:, None], torch.expm1(logp)[:, None]), into)
        return logp, entropy

    def entropy_rows(self, hidden: Tensor, into: Tensor) -> None:
        """`into` [n, V] takes p (z - p . z), minus the gradient of the entropy, of hidden states [n, H]."""
        z, p = self._logits(hidden), self.powers[: len(hidden)]
        total = torch.exp(z, out=p).sum(-1, keepdim=True)
        p /= total
        z -= torch.einsum("nv,nv->n", z, p)[:, None]
        self._below_cap(z.mul_(p), into)

    def _below_cap(self, rows: Tensor, into: Tensor) -> None:
        """From gradients to logits [n, V] to those to the products of the head, times scale / temperature."""
        if self.slopes is not None:
            rows *= self.slopes[: len(rows)]
        into.copy_(rows)

    def _logits(self, hidden: Tensor) -> Tensor:
        """Logits over the temperature, less the largest of each token.  # [n, V]"""
        z = self.logits[: len(hidden)]
        hidden = hidden.float() / self.divisor
        for first in range(0, len(self.head.weight), HEAD_ROWS):
            rows = slice(first, first + HEAD_ROWS)
            torch.mm(hidden, self.head.weight[rows].float().T, out=z[:, rows])
        if self.shift is not None:
            z += self.shift
        if self.cap is not None and self.slopes is not None:
            z.div_(self.cap).tanh_()
            torch.square(z, out=self.slopes[: len(z)]).neg_().add_(1)
            z *= self.cap
        self.head.masked(z, LEAST)
        z -= z.amax(-1, keepdim=True)
        return z


def token_logprobs(
    hidden: Tensor,
    head: Head,
    targets: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
    keep: int | None = None,
) -> tuple[Tensor, Tensor]:
    """(logp [M], entropy [M]) in float32 of `targets` [M] under `head` on `hidden` states [M, H].

    Both have gradients to hidden states, weight and bias; that of `entropy` costs three products with the head, and
    nothing where no loss depends on it. At most `chunk` rows of logits are made at any time, in both
    directions, and `keep` rows of p - onehot(y) are saved for the backward pass.
    """
    assert (hidden.dim(), targets.shape) == (2, hidden.shape[:1]), "hidden [M, H] and targets [M]"
    assert temperature > 0, "a temperature of 0 has no distribution"
    weight, bias, vocabulary = head.weight, head.bias, len(head.weight)
    chunk = min(chunk or max(1, chunk_elements(weight.device) // vocabulary), max(1, len(hidden)))
    keep = max(1, KEPT_ELEMENTS // vocabulary if keep is None else keep)  # backward holds at least one
    if not (torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (hidden, weight, bias))):
        keep = 0
    logp, entropy = _TokenLogprobs.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, head, temperature, chunk, keep
    )
    return logp, entropy
