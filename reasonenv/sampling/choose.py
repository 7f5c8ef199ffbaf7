"""From logits and a uniform number to a token: the one definition of how a sample is drawn."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 256  # of the vocabulary: the cumulative sum is taken over blocks and inside one block, never over all of V


def choose(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The tokens [R] at quantile `uniform` [R] of softmax(logits / temperature), and their log-probs [R] under it.

    `logits` [R, V] are float32. Inverse-CDF sampling: token v is drawn where P(< v) <= u < P(<= v), so the draw is a
    pure function of its own row. Temperature 0 is the argmax, with its log-prob at temperature 1.
    """
    rows, vocabulary = logits.shape
    scaled = logits if temperature in (0, 1) else logits / temperature
    top, best = scaled.max(-1, keepdim=True)  # [R, 1]
    weights = (scaled - top).exp_()  # [R, V], unnormalised probabilities
    spare = -vocabulary % BLOCK
    if spare:
        weights = torch.nn.functional.pad(weights, (0, spare))
    blocks = weights.view(rows, -1, BLOCK)
    mass = blocks.sum(-1).double()  # [R, V / BLOCK]
    total = mass.sum(-1, keepdim=True)  # [R, 1]
    if temperature == 0:
        token = best[:, 0]
    else:
        block, rest = _quantile(mass, uniform.double()[:, None])
        inside = blocks[torch.arange(rows, device=logits.device), block[:, 0]].double()  # [R, BLOCK]
        within, _ = _quantile(inside, rest)
        token = (block * BLOCK + within)[:, 0]
    logp = (scaled.gather(1, token[:, None]) - top - total.log()).float()[:, 0]
    return token, logp


def _quantile(mass: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The cell [R, 1] of `mass` [R, C] that holds quantile `u` [R, 1], and where in that cell it lies, in [0, 1)."""
    cumulative = mass.cumsum(-1)  # [R, C], float64
    # Just below 1, so that rounding can never pass the last cell that has mass.
    target = u.clamp(max=1 - 1e-12) * cumulative[:, -1:]
    cell = torch.searchsorted(cumulative, target, right=True)
    before = cumulative.gather(1, cell) - mass.gather(1, cell)
    return cell, ((target - before) / mass.gather(1, cell)).clamp(0, 1)
