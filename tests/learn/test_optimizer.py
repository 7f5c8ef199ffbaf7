"""AdamW in float32 for weights of 16 bits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from reasonenv.errors import UserError
from reasonenv.learn.optimizer import AdamW, Optimizer, _halves, _join


def weight(dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(torch.tensor([0.02, -0.5, 1.0], dtype=dtype))


def optimizer(parameter: nn.Parameter, **numbers: float) -> Optimizer:
    return AdamW([parameter], **{"max_grad_norm": 1e9, "weight_decay": 0.0, **numbers})


def master(optimizer: Optimizer) -> Tensor:
    """The parameter in float32, as it is trained."""
    (parameter,) = optimizer.parameters
    low = optimizer.state_dict().get("0.low")
    return parameter.detach() if low is None else _join(parameter.detach(), low)


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
    assert master(own).tolist() == pytest.approx([(before[i] - 1e-2).item() for i in range(3)], abs=2e-3)
    assert parameter[2] < before[2]
    assert torch.equal(parameter, master(own).bfloat16())


def test_a_bfloat16_weight_is_trained_as_the_float32_weight_that_it_rounds() -> None:
    # the same gradients: the master goes the way of a float32 parameter to the last bit, and so does torch's AdamW
    torch.manual_seed(0)
    start = torch.randn(1500, 1000).bfloat16()  # more than one part
    half, whole, torchs = (nn.Parameter(start.to(dtype)) for dtype in (torch.bfloat16, *[torch.float32] * 2))
    theirs = torch.optim.AdamW([torchs], lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    mine = [AdamW([p], max_grad_norm=1e9, weight_decay=0.1) for p in (half, whole)]
    for _ in range(3):
        gradient = torch.randn(start.shape).bfloat16()
        for own in mine:
            own.backward((own.parameters[0] * gradient).sum(dtype=torch.float32))
            own.step(1e-3)
        torchs.grad = gradient.float()
        theirs.step()
    assert torch.equal(master(mine[0]), whole)
    assert torch.equal(whole, torchs)
    assert (half - whole).abs().max() <= whole.abs().max() * 2**-8  # and the weight itself is never far


@given(st.lists(st.integers(-(2**31), 2**31 - 1).filter(lambda bits: bits & 2**31 - 1 < 0x7F7F8000), min_size=1))
def test_two_halves_hold_every_bit_of_a_finite_float32(bits: list[int]) -> None:
    whole = torch.tensor(bits, dtype=torch.int32).view(torch.float32)
    upper, lower = _halves(whole)
    assert torch.equal(_join(upper, lower).view(torch.int32), whole.view(torch.int32))
    tie = whole.view(torch.int32) & 2**16 - 1 == 2**15
    assert torch.equal(upper[~tie], whole.bfloat16()[~tie])


def test_float16_is_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match=r"dtype is float16, .*train in bfloat16 or float32"):
        optimizer(weight(torch.float16))


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
    assert master(spiked).tolist() == pytest.approx(master(even).tolist(), abs=1e-9)


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
    assert torch.equal(master(straight), master(resumed))
    assert torch.equal(straight.parameters[0], resumed.parameters[0])


def test_gradients_are_clipped_by_norm() -> None:
    # Adam hides the scale of one step, so two: after g then 10 g clipped to g, the second moment is that of g, g
    clipped, plain = (optimizer(weight(torch.float32), max_grad_norm=limit) for limit in (1.0, 1e9))
    for own, second in ((clipped, 10.0), (plain, 1.0)):
        push(own, [1.0, 0.0, 0.0])
        push(own, [second, 0.0, 0.0])
    assert clipped.parameters[0].tolist() == pytest.approx(plain.parameters[0].tolist(), abs=1e-9)


def test_no_room_for_the_moments_is_told_with_what_to_do() -> None:
    huge = nn.Parameter(torch.zeros(1, dtype=torch.bfloat16).expand(2**30, 2**13))  # 2^43 weights that take 2 bytes
    with pytest.raises(UserError, match=r"8 to 10 bytes for each of 8,796,093,022,208 weights; set lora=16"):
        optimizer(huge)


def test_the_state_of_other_parameters_is_refused() -> None:
    # so is that of an earlier version, which held whole masters and no moments before the first step
    with pytest.raises(UserError, match="not of AdamW for these parameters in this version"):
        optimizer(weight(torch.bfloat16)).load_state_dict(optimizer(weight(torch.float32)).state_dict())


class Momentum(Optimizer):
    """v = 0.9 v + g, w = w - lr v: as torch's SGD."""

    name, moments = "Momentum", ("velocity",)

    def update(self, weights: Tensor, gradient: Tensor, moments: Sequence[Tensor], step: Tensor, lr: float) -> None:
        (velocity,) = moments
        velocity.mul_(0.9).add_(gradient)
        weights.sub_(velocity, alpha=lr)


def test_another_rule_is_one_class_and_sums_masters_and_checkpoints_come_with_it() -> None:
    torch.manual_seed(0)
    start = torch.randn(1500, 1000).bfloat16()  # more than one part
    half, whole, torchs = (nn.Parameter(start.to(dtype)) for dtype in (torch.bfloat16, *[torch.float32] * 2))
    sgd = torch.optim.SGD([torchs], lr=1e-3, momentum=0.9)
    ours = [Momentum([p], max_grad_norm=1e9) for p in (half, whole)]
    for _ in range(3):
        gradient = torch.randn(start.shape).bfloat16()
        for optimizer in ours:
            optimizer.backward((optimizer.parameters[0] * gradient).sum(dtype=torch.float32))
            optimizer.step(1e-3)
        torchs.grad = gradient.float()
        sgd.step()
    assert torch.equal(master(ours[0]), whole)
    torch.testing.assert_close(whole, torchs, rtol=0, atol=1e-6)
    assert sorted(ours[0].state_dict()) == ["0.low", "0.step", "0.velocity"]


@pytest.mark.parametrize("kind", [AdamW, Momentum])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bytes_foretold_are_those_held(kind: type[Optimizer], dtype: torch.dtype) -> None:
    numbers = {"weight_decay": 0.0} if kind is AdamW else {}
    state = kind([nn.Parameter(torch.zeros(1000, dtype=dtype))], max_grad_norm=1.0, **numbers).state_dict()
    assert sum(x.nbytes for name, x in state.items() if name != "0.step") == 1000 * kind.bytes_per_weight(dtype)
