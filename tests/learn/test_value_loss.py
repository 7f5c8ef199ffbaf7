"""The critic's loss: values, and the gradient that stops where V has gone far enough."""

from __future__ import annotations

import pytest
import torch

from reasonenv.learn.losses import clipped_value, value_clipped


@pytest.mark.parametrize(
    ("value", "returns", "loss", "slope"),
    [
        (0.1, 1.0, 0.405, -0.9),  # within the clip: (0.1 - 1)^2 / 2
        (0.5, 1.0, 0.32, 0.0),  # beyond it and nearer to the return: V counts as 0.2, (0.2 - 1)^2 / 2
        (-0.5, 1.0, 1.125, -1.5),  # beyond it and further away: (-0.5 - 1)^2 / 2
        (0.5, -1.0, 1.125, 1.5),
        (0.5, 0.3, 0.02, 0.2),  # past the return: 0.2^2 / 2 against (0.2 - 0.3)^2 / 2
    ],
)
def test_the_value_is_clipped_around_the_old_one(value: float, returns: float, loss: float, slope: float) -> None:
    v = torch.tensor([[value]], dtype=torch.float64, requires_grad=True)
    found = clipped_value(v, old=torch.zeros(1, 1), returns=torch.tensor([[returns]]), clip=0.2)
    found.sum().backward()
    assert found.item() == pytest.approx(loss)
    assert v.grad is not None
    assert v.grad.item() == pytest.approx(slope)
    clipped = value_clipped(v, old=torch.zeros(1, 1), returns=torch.tensor([[returns]]), clip=0.2)
    assert bool(clipped) == (v.grad.item() == 0)
