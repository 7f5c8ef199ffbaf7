"""AdamW on float32 masters. A bfloat16 weight of 0.02 cannot take a step of 1e-5: the sum rounds back to the weight."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

PART = 2**22  # elements of a gradient, added to their sum at once


class Optimizer:
    """AdamW with gradients clipped by norm, for parameters of any dtype.

    Gradients of all micro-batches are summed in float32: call `backward` on the loss of each, then `step` once.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], *, lr: float, max_grad_norm: float, weight_decay: float
    ) -> None:
        self.parameters = list(parameters)
        self.max_grad_norm = max_grad_norm
        self.masters = [p if p.dtype == torch.float32 else p.detach().float().clone() for p in self.parameters]
        self._adamw = torch.optim.AdamW(self.masters, lr=lr, betas=(0.9, 0.95), weight_decay=weight_decay, fused=True)

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of one micro-batch's loss. Each leaves its parameter as soon as it is there."""
        hooks = [
            parameter.register_post_accumulate_grad_hook(functools.partial(_move, master))  # type: ignore[no-untyped-call]
            for parameter, master in zip(self.parameters, self.masters, strict=True)
            if parameter is not master and parameter.requires_grad
        ]
        try:
            loss.backward()  # type: ignore[no-untyped-call]
        finally:
            for hook in hooks:
                hook.remove()

    @property
    def taken(self) -> int:
        """Updates so far."""
        return max((int(moments["step"]) for moments in self._adamw.state.values()), default=0)

    def step(self, lr: float, *, loss: float = 0.0) -> float:
        """One update at this learning rate. Returns the gradient's norm, which is not finite if `loss` is not.

        If it is not finite, nothing was changed.
        """
        norm = float(nn.utils.clip_grad_norm_(self.masters, self.max_grad_norm))
        if not math.isfinite(loss):
            norm = math.nan
        if math.isfinite(norm):
            for group in self._adamw.param_groups:
                group["lr"] = lr
            self._adamw.step()
            with torch.no_grad():
                for parameter, master in zip(self.parameters, self.masters, strict=True):
                    if parameter is not master:
                        parameter.copy_(master)
        self._adamw.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict[str, Tensor]:
        """Masters and moments by position, flat, as safetensors wants them."""
        state: dict[str, Tensor] = {}
        for i, (parameter, master) in enumerate(zip(self.parameters, self.masters, strict=True)):
            if parameter is not master:
                state[f"{i}.master"] = master
            for name, value in self._adamw.state.get(master, {}).items():
                state[f"{i}.{name}"] = value
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`; the parameters themselves are loaded with the policy."""
        with torch.no_grad():
            for i, (parameter, master) in enumerate(zip(self.parameters, self.masters, strict=True)):
                if parameter is not master:
                    master.copy_(state[f"{i}.master"])
                moments = {
                    n: state[f"{i}.{n}"].clone() for n in ("step", "exp_avg", "exp_avg_sq") if f"{i}.{n}" in state
                }
                if moments:
                    self._adamw.state[master] = moments


def _move(master: Tensor, parameter: Tensor) -> None:
    """The gradient of a parameter to its master."""
    assert parameter.grad is not None
    if master.grad is None:
        master.grad = parameter.grad.float().contiguous()
    else:
        # In parts, because a sum of two dtypes makes a float32 copy first, and fresh memory costs more than the sum.
        total, grad = master.grad.view(-1), parameter.grad.reshape(-1)
        for first in range(0, len(total), PART):
            total[first : first + PART] += grad[first : first + PART]
    parameter.grad = None
