"""Optimisers in float32 for weights of 16 bits. A bfloat16 weight of 0.02 cannot take a step of 1e-5: it rounds back.

So a bfloat16 weight is the upper half of its float32 master, rounded, and the optimiser holds the lower half: 2 bytes
a weight where a master beside it takes 4, and the same bits.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import repeat
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from reasonenv.errors import UserError
from reasonenv.policy.policy import prefixed, same_shapes

LOW = torch.int16  # what a bfloat16 weight lacks of the bits of its float32 master
PART = 2**20  # elements brought to float32 at once: a few MiB that stay in the cache and that malloc keeps


class Optimizer(ABC):
    """Trains parameters in float32 or bfloat16, with gradients clipped by their norm.

    Gradients of all micro-batches are summed in float32: call `backward` on the loss of each, then `step` once.
    A subclass says by which rule a weight moves: its `name`, the `moments` that it remembers, and `update`.
    Raises `UserError` for float16, and if there is not enough memory for the moments.
    """

    name: ClassVar[str]
    moments: ClassVar[tuple[str, ...]]  # names, in checkpoints too, of the float32 tensors that each parameter needs

    def __init__(self, parameters: Sequence[nn.Parameter], *, max_grad_norm: float) -> None:
        self.parameters = list(parameters)
        self.max_grad_norm = max_grad_norm
        if any(p.dtype == torch.float16 for p in self.parameters):
            raise UserError("dtype is float16, in which small gradients are 0; train in bfloat16 or float32")
        self._sum: dict[int, Tensor] = {}  # of the gradients of a bfloat16 parameter; others have it in `grad`
        # From the start, because what stays would otherwise lie between gradients and activations, which come and go.
        try:
            self._state = [self._new_state(p) for p in self.parameters]
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            count = sum(p.numel() for p in self.parameters)
            least, most = self.bytes_per_weight(torch.float32), self.bytes_per_weight(torch.bfloat16)
            raise UserError(
                f"out of memory for {self.name}, {least} to {most} bytes for each of {count:,} weights; set lora=16, "
                "or take a smaller policy"
            ) from error

    @classmethod
    def bytes_per_weight(cls, dtype: torch.dtype) -> int:
        """What it holds for each weight of a parameter of this dtype, beside its gradient."""
        moments = 4 * len(cls.moments)
        return moments + LOW.itemsize if dtype == torch.bfloat16 else moments

    def _new_state(self, parameter: Tensor) -> dict[str, Tensor]:
        state = {"step": torch.zeros((), device=parameter.device)}
        dtype = torch.promote_types(parameter.dtype, torch.float32)
        for name in self.moments:
            state[name] = torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
        if parameter.dtype == torch.bfloat16:
            state["low"] = torch.zeros_like(parameter, dtype=LOW, requires_grad=False)
        return state

    @abstractmethod
    def update(self, weights: Tensor, gradient: Tensor, moments: Sequence[Tensor], step: Tensor, lr: float) -> None:
        """Moves `weights`, and with them `moments`, in place: tensors [n] in float32, after `step` updates."""

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of one micro-batch's loss. Each leaves its parameter as soon as it is there."""
        hooks = []
        for i, p in enumerate(self.parameters):
            if p.dtype == torch.bfloat16 and p.requires_grad:
                take = functools.partial(self._take, i)
                hooks.append(p.register_post_accumulate_grad_hook(take))  # type: ignore[no-untyped-call]
        try:
            loss.backward()  # type: ignore[no-untyped-call]
        finally:
            for hook in hooks:
                hook.remove()

    def _take(self, i: int, parameter: Tensor) -> None:
        grad, parameter.grad = parameter.grad, None
        assert grad is not None
        if i not in self._sum:
            self._sum[i] = grad.float().contiguous()
            return
        # In parts, because a sum of two dtypes makes a float32 copy first, and fresh memory costs more than the sum.
        for total, more in zip(_parts(self._sum[i]), _parts(grad), strict=True):
            total += more

    def gradients(self) -> dict[int, Tensor]:
        """The sums so far in float32, by position; a parameter that no loss depended on has none."""
        whole = {i: p.grad for i, p in enumerate(self.parameters) if p.grad is not None}
        return dict(sorted((self._sum | whole).items()))

    def forget(self) -> None:
        """Drops the gradients."""
        self._sum.clear()
        for parameter in self.parameters:
            parameter.grad = None

    @property
    def taken(self) -> int:
        """Updates so far."""
        return max((int(state["step"]) for state in self._state), default=0)

    def step(self, lr: float, *, loss: float = 0.0) -> float:
        """One update at this learning rate. Returns the gradient's norm, which is not finite if `loss` is not.

        If it is not finite, nothing was changed.
        """
        gradients = self.gradients()
        norms = [torch.linalg.vector_norm(gradient) for gradient in gradients.values()]
        norm = float(torch.stack(norms).norm()) if norms else 0.0
        if not math.isfinite(loss):
            norm = math.nan
        if math.isfinite(norm):
            scale = min(1.0, self.max_grad_norm / (norm + 1e-6))
            for i, gradient in gradients.items():
                self._update(i, gradient, scale, lr)
        self.forget()
        return norm

    @torch.no_grad()
    def _update(self, i: int, gradient: Tensor, scale: float, lr: float) -> None:
        """One update of one parameter, part by part."""
        parameter, state = self.parameters[i].detach(), self._state[i]
        tensors = (parameter, gradient, *(state[name] for name in self.moments))
        lows = _parts(state["low"]) if "low" in state else repeat(None)
        for (part, grad, *moments), low in zip(zip(*map(_parts, tensors), strict=True), lows, strict=False):
            if scale < 1:
                grad.mul_(scale)
            weights = part if low is None else _join(part, low)
            self.update(weights, grad, moments, state["step"], lr)
            if low is not None:
                upper, lower = _halves(weights)
                part.copy_(upper)
                low.copy_(lower)
        state["step"] += 1

    def state_dict(self) -> dict[str, Tensor]:
        """Lower halves and moments by position, flat, as safetensors wants them."""
        flat: dict[str, Tensor] = {}
        for i, state in enumerate(self._state):
            flat |= prefixed(f"{i}.", state)
        return flat

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`; the parameters themselves are loaded with the policy."""
        tensors = self.state_dict()
        if not same_shapes(tensors, state):
            raise UserError(
                f"this state is not of {self.name} for these parameters in this version of reasonenv; load it with the "
                "version that saved it, or start again in another folder"
            )
        for name, tensor in tensors.items():
            tensor.copy_(state[name])


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2)."""

    name = "AdamW"
    moments = ("exp_avg", "exp_avg_sq")

    def __init__(self, parameters: Sequence[nn.Parameter], *, max_grad_norm: float, weight_decay: float) -> None:
        super().__init__(parameters, max_grad_norm=max_grad_norm)
        self.weight_decay = weight_decay

    def update(self, weights: Tensor, gradient: Tensor, moments: Sequence[Tensor], step: Tensor, lr: float) -> None:
        first, second = moments
        adamw(
            [weights],
            [gradient],
            [first],
            [second],
            [],
            [step.clone()],  # it is counted up there, for each part; `_update` counts once a parameter
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.95,
            lr=lr,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )


def out_of_memory(error: RuntimeError) -> bool:
    """Whether a device, or the CPU, had no room for a tensor."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _parts(tensor: Tensor) -> Sequence[Tensor]:
    return torch.split(tensor.reshape(-1), PART)


def _halves(master: Tensor) -> tuple[Tensor, Tensor]:
    """A float32 tensor as bfloat16, rounded to nearest (ties away from 0), and in int16 what that lacks of its bits."""
    bits = master.view(torch.int32)
    upper = (bits + 2**15).bitwise_right_shift_(16)
    return upper.to(torch.int16).view(torch.bfloat16), bits.to(LOW)


def _join(upper: Tensor, lower: Tensor) -> Tensor:
    """The inverse of `_halves`."""
    return upper.view(torch.int16).to(torch.int32).bitwise_left_shift_(16).add_(lower).view(torch.float32)
