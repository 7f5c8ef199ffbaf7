"""From logits and a uniform number to a token: the one definition of how a sample is drawn."""

from __future__ import annotations

import torch
from torch import Tensor

from reasonenv.errors import UserError

BLOCK = 256  # of the vocabulary: the cumulative sum is taken over blocks and inside one block, never over all of V


def choose(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The tokens [R] at quantile `uniform` [R] of softmax(logits / temperature), and their log-probs [R] under it.

    `logits` [R, V] are float32. Inverse-CDF sampling: token v is drawn where P(< v) <= u < P(<= v), so the draw is a
    pure function of its own row. Temperature 0 is the argmax, with its log-prob at temperature 1. The memory of
    `logits` is used up: on a CPU a fresh [R, V] costs more than the arithmetic on it. Raises `UserError` for logits
    that are nan or plus infinity: of them no distribution can be made.
    """
    rows, vocabulary = logits.shape
    if temperature == 0:
        token = logits.argmax(-1)
        total = logits.logsumexp(-1)
        _check(total)
        return token, logits.gather(1, token[:, None])[:, 0] - total
    if temperature != 1:
        logits /= temperature
    weights = logits.sub_(logits.amax(-1, keepdim=True)).exp_()  # [R, V], unnormalised probabilities
    spare = -vocabulary % BLOCK
    if spare:
        weights = torch.nn.functional.pad(weights, (0, spare))
    blocks = weights.view(rows, -1, BLOCK)
    mass = blocks.sum(-1).double()  # [R, V / BLOCK]
    _check(mass)
    block, rest = _quantile(mass, uniform.double()[:, None])
    inside = blocks[torch.arange(rows, device=logits.device), block[:, 0]].double()  # [R, BLOCK]
    within, _ = _quantile(inside, rest)
    # A drawn token has mass, so its logarithm is finite.
    logp = inside.gather(1, within).log() - mass.sum(-1, keepdim=True).log()
    return (block * BLOCK + within)[:, 0], logp.float()[:, 0]


def truncate(logits: Tensor, temperature: float, *, top_k: int, top_p: float) -> Tensor:
    """`logits` [R, V] with -inf for the tokens that are not among the `top_k` likeliest, or outside their nucleus.

    The nucleus is the fewest tokens whose mass at `temperature`, of what `top_k` leaves, reaches `top_p`. Equals of the
    last token stay too, so that it is a function of the logits alone. The argmax stays always.
    """
    if top_k and top_k < logits.shape[1]:
        least = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1 and temperature > 0:
        order = logits.sort(descending=True).values  # [R, V]
        mass = (order.double() / temperature).softmax(-1)
        before = mass.cumsum(-1) - mass  # of the likelier ones
        least = order.masked_fill(before >= top_p, torch.inf).amin(-1, keepdim=True)
        logits = logits.masked_fill(logits < least, -torch.inf)
    return logits


def _check(sums: Tensor) -> None:
    if not bool(sums.isfinite().all()):
        raise UserError(
            "the policy's logits are not finite: its weights are broken, in their file or by an update; "
            "use another policy, a lower lr or dtype=float32"
        )


def _quantile(mass: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The cell [R, 1] of `mass` [R, C] that holds quantile `u` [R, 1], and where in that cell it lies, in [0, 1)."""
    cumulative = mass.cumsum(-1)  # [R, C], float64
    # Just below 1, so that rounding can never pass the last cell that has mass.
    target = u.clamp(max=1 - 1e-12) * cumulative[:, -1:]
    cell = torch.searchsorted(cumulative, target, right=True)
    before = cumulative.gather(1, cell) - mass.gather(1, cell)
    return cell, ((target - before) / mass.gather(1, cell)).clamp(0, 1)
