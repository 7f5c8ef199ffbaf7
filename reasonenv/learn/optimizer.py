"""AdamW in float32 for weights of 16 bits. A bfloat16 weight of 0.02 cannot take a step of 1e-5: it rounds back.

So a bfloat16 weight is the upper half of its float32 master, rounded, and the optimiser holds the lower half: 2 bytes
a weight where a master beside it takes 4, and the same bits.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from reasonenv.errors import UserError

PART = 2**20  # elements brought to float32 at once: a few MiB that stay in the cache and that malloc keeps


class Optimizer:
    """AdamW with gradients clipped by norm, for parameters in float32 or bfloat16.

    Gradients of all micro-batches are summed in float32: call `backward` on the loss of each, then `step` once.
    Raises `UserError` for float16, and if there is no room for the moments.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, max_grad_norm: float, weight_decay: float) -> None:
        self.parameters = list(parameters)
        self.max_grad_norm, self.weight_decay = max_grad_norm, weight_decay
        if any(p.dtype == torch.float16 for p in self.parameters):
            raise UserError("dtype is float16, in which small gradients are 0; train in bfloat16 or float32")
        self._sum: dict[int, Tensor] = {}  # of the gradients of a bfloat16 parameter; others have it in `grad`
        # From the start, because what stays would otherwise lie between gradients and activations, which come and go.
        try:
            self._low = {i: torch.zeros_like(p, dtype=torch.int16, requires_grad=False) for i, p in self._half()}
            self._moments = {i: _moments(p) for i, p in enumerate(self.parameters)}
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            count = sum(p.numel() for p in self.parameters)
            raise UserError(
                f"out of memory for AdamW, 8 to 10 bytes for each of {count:,} weights; set lora=16, or take a "
                "smaller policy"
            ) from error

    def _half(self) -> Iterator[tuple[int, nn.Parameter]]:
        return ((i, p) for i, p in enumerate(self.parameters) if p.dtype == torch.bfloat16)

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of one micro-batch's loss. Each leaves its parameter as soon as it is there."""
        hooks = [
            p.register_post_accumulate_grad_hook(functools.partial(self._take, i))  # type: ignore[no-untyped-call]
            for i, p in self._half()
            if p.requires_grad
        ]
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
        return max((int(moments["step"]) for moments in self._moments.values()), default=0)

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
        """AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2) on one parameter, part by part."""
        parameter, low = self.parameters[i].detach(), self._low.get(i)
        moments = self._moments[i]
        flat = map(_parts, (parameter, moments["exp_avg"], moments["exp_avg_sq"], gradient))
        lows = repeat(None) if low is None else _parts(low)
        for (part, first, second, grad), rest in zip(zip(*flat, strict=True), lows, strict=False):
            master = part if rest is None else _join(part, rest)
            adamw(
                [master],
                [grad.mul_(scale) if scale < 1 else grad],
                [first],
                [second],
                [],
                [moments["step"].clone()],  # it is counted up there, and once a parameter is enough
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.95,
                lr=lr,
                weight_decay=self.weight_decay,
                eps=1e-8,
                maximize=False,
            )
            if rest is not None:
                upper, lower = _halves(master)
                part.copy_(upper)
                rest.copy_(lower)
        moments["step"] += 1

    def masters(self) -> list[Tensor]:
        """The parameters in float32, as they are trained."""
        whole = [p.detach() for p in self.parameters]
        return [_join(p, self._low[i]) if i in self._low else p for i, p in enumerate(whole)]

    def state_dict(self) -> dict[str, Tensor]:
        """Lower halves and moments by position, flat, as safetensors wants them."""
        state = {f"{i}.low": low for i, low in self._low.items()}
        return state | {f"{i}.{name}": x for i, moments in self._moments.items() for name, x in moments.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`; the parameters themselves are loaded with the policy."""
        own = self.state_dict()
        if own.keys() != state.keys() or any(own[name].shape != state[name].shape for name in own):
            raise UserError(
                "this state is not of AdamW for these parameters in this version of reasonenv; load it with the "
                "version that saved it, or start again in another folder"
            )
        for name, tensor in own.items():
            tensor.copy_(state[name])


def out_of_memory(error: RuntimeError) -> bool:
    """Whether a device, or the CPU, had no room for a tensor."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _moments(parameter: Tensor) -> dict[str, Tensor]:
    dtype = torch.promote_types(parameter.dtype, torch.float32)
    zeros = functools.partial(torch.zeros_like, parameter, dtype=dtype, requires_grad=False)
    return {"step": torch.zeros((), device=parameter.device), "exp_avg": zeros(), "exp_avg_sq": zeros()}


def _parts(tensor: Tensor) -> Sequence[Tensor]:
    return torch.split(tensor.reshape(-1), PART)


def _halves(master: Tensor) -> tuple[Tensor, Tensor]:
    """A float32 tensor as bfloat16, rounded to nearest (ties away from 0), and in int16 what that lacks of its bits."""
    bits = master.view(torch.int32)
    upper = (bits + 2**15).bitwise_right_shift_(16)
    return upper.to(torch.int16).view(torch.bfloat16), bits.to(torch.int16)


def _join(upper: Tensor, lower: Tensor) -> Tensor:
    """The inverse of `_halves`."""
    return upper.view(torch.int16).to(torch.int32).bitwise_left_shift_(16).add_(lower).view(torch.float32)
