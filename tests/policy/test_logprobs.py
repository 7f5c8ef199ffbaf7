"""The chunked head against the plain formula in float64."""

import pytest
import torch

from reasonenv.policy.logprobs import Head, _Chunks, token_logprobs


def case(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(23, 16, generator=draw).to(dtype)
    weight = torch.randn(301, 16, generator=draw).to(dtype)
    bias = torch.randn(301, generator=draw).to(dtype)
    targets = torch.randint(301, (23,), generator=draw)
    weights = torch.randn(23, generator=draw)
    weights[5] = 0.0  # a token that the loss does not count
    return hidden, weight, bias, targets, weights


def naive(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = hidden @ weight.T if bias is None else hidden @ weight.T + bias
    logp = (logits / temperature).log_softmax(-1)
    return logp.gather(1, targets[:, None])[:, 0], -(logp.exp() * logp).sum(-1)


@pytest.mark.parametrize(("chunk", "keep"), [(1, 0), (7, 0), (7, 3), (7, 16), (23, 16), (None, None)])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients_are_those_of_the_naive_formula(
    chunk: int | None, keep: int | None, temperature: float, with_bias: bool
) -> None:
    hidden, weight, bias, targets, weights = case()
    leaves = [hidden, weight, bias][: 3 if with_bias else 2]
    ours = [x.clone().requires_grad_() for x in leaves]
    gold = [x.double().requires_grad_() for x in leaves]
    logp, entropy = token_logprobs(ours[0], Head(*ours[1:]), targets, temperature=temperature, chunk=chunk, keep=keep)
    want, want_entropy = naive(gold[0], gold[1], gold[2] if with_bias else None, targets, temperature)
    torch.testing.assert_close(logp.double(), want, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy.double(), want_entropy, rtol=1e-5, atol=1e-5)
    (logp * weights).sum().backward()
    (want * weights.double()).sum().backward()
    for mine, theirs in zip(ours, gold, strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        error = (mine.grad.double() - theirs.grad).norm() / theirs.grad.norm()
        assert error < 1e-5


@pytest.mark.parametrize(("chunk", "keep"), [(1, 0), (7, 3), (7, 16), (None, None)])
@pytest.mark.parametrize("holds_logp", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_gradient_of_the_entropy_is_that_of_the_naive_formula(
    chunk: int | None, keep: int | None, holds_logp: bool, temperature: float
) -> None:
    *leaves, targets, weights = case()
    ours = [x.clone().requires_grad_() for x in leaves]
    gold = [x.double().requires_grad_() for x in leaves]
    logp, entropy = token_logprobs(ours[0], Head(*ours[1:]), targets, temperature=temperature, chunk=chunk, keep=keep)
    want, want_entropy = naive(*gold, targets, temperature)
    bonus = weights.flip(0)  # another weight for each token than that of its log-prob
    loss = (entropy * bonus).sum() + holds_logp * (logp * weights).sum()
    first = torch.autograd.grad(loss, ours, retain_graph=True)
    found = torch.autograd.grad(loss, ours)  # of what the first pass left in the kept rows nothing is stale
    assert all(map(torch.equal, first, found))
    gold_loss = (want_entropy * bonus.double()).sum() + holds_logp * (want * weights.double()).sum()
    for mine, theirs in zip(found, torch.autograd.grad(gold_loss, gold), strict=True):
        assert (mine.double() - theirs).norm() < 1e-5 * theirs.norm()


def test_an_entropy_that_no_loss_holds_is_never_differentiated(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr(_Chunks, "entropy_rows", refuse)
    hidden, weight, bias, targets, weights = case()
    hidden.requires_grad_()
    logp, entropy = token_logprobs(hidden, Head(weight, bias), targets)
    (logp * weights).sum().backward()
    with pytest.raises(AssertionError, match="nobody asked"):
        token_logprobs(hidden, Head(weight, bias), targets)[1].sum().backward()
    assert entropy.requires_grad


def test_bfloat16_weights_give_float32_exact_log_probs() -> None:
    # products of two bfloat16 numbers are exact in float32, so only the order of the sums is left
    hidden, weight, bias, targets, _ = case(torch.bfloat16)
    logp, _ = token_logprobs(hidden, Head(weight, bias), targets)
    want, _ = naive(hidden.double(), weight.double(), bias.double(), targets, 1.0)
    assert logp.dtype == torch.float32
    torch.testing.assert_close(logp.double(), want, rtol=1e-5, atol=1e-5)


def test_bfloat16_gradients_are_as_near_as_bfloat16_goes() -> None:
    # a number rounded to 8 bits is off by up to 2^-9 of itself, so products of two roundings by up to 2^-8
    hidden, weight, bias, targets, weights = case(torch.bfloat16)
    ours, gold = (
        [x.detach().clone().to(kind).requires_grad_() for x in (hidden, weight, bias)]
        for kind in (torch.bfloat16, torch.float64)
    )
    (token_logprobs(ours[0], Head(*ours[1:]), targets, chunk=7, keep=10)[0] * weights).sum().backward()
    (naive(*gold, targets, 1.0)[0] * weights.double()).sum().backward()
    for mine, theirs in zip(ours, gold, strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert mine.grad.dtype == torch.bfloat16
        assert (mine.grad.double() - theirs.grad).norm() < 2**-8 * theirs.grad.norm()


def test_what_is_kept_serves_a_second_backward_pass() -> None:
    hidden, weight, _, targets, weights = case()
    hidden.requires_grad_()
    loss = (token_logprobs(hidden, Head(weight), targets, chunk=4, keep=9)[0] * weights).sum()
    (first,) = torch.autograd.grad(loss, hidden, retain_graph=True)
    (second,) = torch.autograd.grad(loss, hidden)
    torch.testing.assert_close(first, second)


def test_a_loss_without_any_weight_has_no_gradient() -> None:
    hidden, weight, _, targets, weights = case()
    weight.requires_grad_()
    (token_logprobs(hidden, Head(weight), targets)[0] * 0 * weights).sum().backward()
    assert weight.grad is not None
    assert not weight.grad.any()


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, weight, _, targets, _ = case()
    hidden.requires_grad_()
    token_logprobs(hidden, Head(weight), targets)[0].sum().backward()
    assert hidden.grad is not None
    assert weight.grad is None
