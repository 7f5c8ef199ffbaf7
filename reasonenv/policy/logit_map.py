"""What a model makes of the products of its head before they are logits: measured on its own forward pass.

Gemma caps them, Cohere and Granite scale them, each under another name in its config and one of them by division. So
no name is read: known numbers take the place of the products, and what comes out says what the model does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from reasonenv.errors import UserError
from reasonenv.policy.logprobs import Head

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SMALL, HUGE = 1e-3, 1e30  # far below and far above any cap
UNCAPPED = 1e6  # logits that large have met no cap


@torch.no_grad()
def logit_map(model: PreTrainedModel, name: str) -> tuple[float, float | None]:
    """The `scale` and the `cap` of the `Head` of `model`, which is called `name`.

    Raises `UserError` if its logits are made in another way, or not from the last hidden states of its decoder.
    """
    points = torch.cat([torch.tensor([SMALL, 1.0, HUGE]), torch.linspace(-60, 60, 121)])
    states: list[Tensor] = []

    def leave(module: Any, inputs: Any, output: Any) -> None:
        states.append(output.last_hidden_state)

    def substitute(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        states.append(inputs[0])
        return points.to(output.device)[None, None]

    layer = model.get_output_embeddings()
    if layer is None:
        raise UserError(f"policy {name!r}: {type(model).__name__} has no language-model head; use a causal LM")
    hooks = [model.get_decoder().register_forward_hook(leave), layer.register_forward_hook(substitute)]
    try:
        token = torch.zeros(1, 1, dtype=torch.int64, device=layer.weight.device)
        logits = model(input_ids=token, use_cache=False).logits.flatten().float().cpu()
    finally:
        for hook in hooks:
            hook.remove()
    small, scale, top = logits[:3].tolist()
    cap = None
    if abs(top) < UNCAPPED:
        cap, scale = top, small / SMALL
    if abs(scale - 1) < 1e-6:  # the rounding of a small number
        scale = 1.0
    expected = Head(layer.weight, scale=scale, cap=cap).finished(points.clone())
    last, read = states
    if not torch.allclose(logits, expected, rtol=1e-5) or not torch.allclose(read, last, equal_nan=True):
        raise UserError(
            f"policy {name!r}: {type(model).__name__} makes its logits neither by scaling nor by capping what its head "
            "makes of the last hidden state; it is not supported"
        )
    return scale, cap
