"""What the length of a response earns or costs, beside its verdict."""

from __future__ import annotations

from torch import Tensor


def overlong(length: Tensor, *, limit: int, cache: float) -> Tensor:
    """0 up to limit - cache tokens, from there falling evenly to -1 at `limit`: DAPO (2503.14476, equation 13).  # [B]

    ScaleRL's clip((limit - length) / cache - 1, -1, 0) (2510.13786, equation 9) is the same line, for correct responses
    alone.
    """
    return ((limit - cache - length) / cache).clamp(-1.0, 0.0)
