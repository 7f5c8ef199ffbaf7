"""AdamW on float32 masters."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from reasonenv.learn.optimizer import Optimizer


def weight(dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(torch.tensor([0.02, -0.5, 1.0], dtype=dtype))


def optimizer(parameter: nn.Parameter, **numbers: float) -> Optimizer:
    return Optimizer([parameter], **{"lr": 1e-5, "max_grad_norm": 1e9, "weight_decay": 0.0, **numbers})


def push(optimizer: Optimizer, gradient: list[float], lr: float = 1e-5) -> float:
    (parameter,) = optimizer.parameters
    optimizer.backward((parameter * torch.tensor(gradient, dtype=parameter.dtype)).sum())
    return optimizer.step(lr)


def test_bfloat16_weights_move_by_less_than_their_rounding() -> None:
    # near 1 bfloat16 steps by 2^-8 below and 2^-7 above; a step of 1e-5 is lost, a thousand of them are 1e-2
    parameter = weight(torch.bfloat16)
    before, own = parameter.detach().clone(), optimizer(parameter)
    push(own, [1.0, 1.0, 1.0])
    assert parameter.tolist() == before.tolist()
    for _ in range(999):
        push(own, [1.0, 1.0, 1.0])
    assert own.masters[0].tolist() == pytest.approx([(before[i] - 1e-2).item() for i in range(3)], abs=2e-3)
    assert parameter[2] < before[2]
    assert torch.equal(parameter, own.masters[0].bfloat16())


def test_adam_steps_by_the_learning_rate_against_the_gradient() -> None:
    # the first step of Adam is lr * g / (|g| + eps)
    parameter = weight(torch.float32)
    push(optimizer(parameter), [3.0, -0.01, 0.0], lr=1e-3)
    assert parameter.tolist() == pytest.approx([0.02 - 1e-3, -0.5 + 1e-3, 1.0], abs=1e-7)


def test_micro_batches_add() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        parameter = weight(dtype)
        own = optimizer(parameter)
        for part in ([1.0, 0.0, 2.0], [0.0, 2.0, 0.0]):
            own.backward((parameter * torch.tensor(part, dtype=dtype)).sum())
            assert dtype == torch.float32 or parameter.grad is None  # it is not held twice
        assert own.step(1e-5) == pytest.approx(3.0)  # |(1, 2, 2)|


def test_a_spike_moves_no_weight_further_than_the_largest_gradient_allowed() -> None:
    # (3, 0, 4) e6 has norm 5e6; cut to norm 1 it is (.6, 0, .8), and the norm that is logged tells of the spike
    spiked, even = (optimizer(weight(torch.float32), max_grad_norm=1.0) for _ in range(2))
    for own in (spiked, even):
        push(own, [0.1, 0.2, 0.2])
    assert push(spiked, [3e6, 0.0, 4e6]) == pytest.approx(5e6)
    assert push(even, [0.6, 0.0, 0.8]) == pytest.approx(1.0)
    assert spiked.masters[0].tolist() == pytest.approx(even.masters[0].tolist(), abs=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gradient_that_is_not_finite_changes_nothing(bad: float, dtype: torch.dtype) -> None:
    parameter = weight(dtype)
    own = optimizer(parameter)
    push(own, [1.0, 1.0, 1.0])
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()} | {"p": parameter.detach().clone()}
    assert not math.isfinite(push(own, [1.0, bad, 1.0]))
    after = own.state_dict() | {"p": parameter.detach()}
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert push(own, [1.0, 1.0, 1.0]) == pytest.approx(math.sqrt(3))  # nothing of the bad gradient is left


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_restored_optimizer_goes_on_as_if_it_had_never_stopped(dtype: torch.dtype) -> None:
    straight = optimizer(weight(dtype))
    for i in range(3):
        push(straight, [1.0, -float(i), 0.5])
    (halfway,) = straight.parameters
    resumed = optimizer(nn.Parameter(halfway.detach().clone()))
    resumed.load_state_dict({name: tensor.clone() for name, tensor in straight.state_dict().items()})
    for own in (straight, resumed):
        push(own, [0.3, 0.3, -2.0])
    assert torch.equal(straight.masters[0], resumed.masters[0])
    assert torch.equal(straight.parameters[0], resumed.parameters[0])


def test_gradients_are_clipped_by_norm() -> None:
    # Adam hides the scale of one step, so two: after g then 10 g clipped to g, the second moment is that of g, g
    clipped, plain = (optimizer(weight(torch.float32), max_grad_norm=limit) for limit in (1.0, 1e9))
    for own, second in ((clipped, 10.0), (plain, 1.0)):
        push(own, [1.0, 0.0, 0.0])
        push(own, [second, 0.0, 0.0])
    assert clipped.parameters[0].tolist() == pytest.approx(plain.parameters[0].tolist(), abs=1e-9)
