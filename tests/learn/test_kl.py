"""Estimators of the KL divergence: values, gradients, and what they are estimates of."""

from __future__ import annotations

import pytest
import torch

from reasonenv.learn.losses import k1, k2, k3
from reasonenv.learn.weights import token_mean


@pytest.mark.parametrize(("estimator", "expected"), [(k1, -0.026190), (k2, 0.042560), (k3, 0.047766)])
def test_estimators_of_the_worked_example(example, estimator, expected: float) -> None:
    found = (token_mean(example.mask) * estimator(example.new, example.ref)).sum()
    assert float(found) == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize(
    ("estimator", "slope"), [(k1, lambda d: torch.ones_like(d)), (k2, lambda d: d), (k3, lambda d: 1 - (-d).exp())]
)
def test_gradients_in_closed_form_and_none_to_the_reference(example, estimator, slope) -> None:
    logp, ref = example.new.clone().requires_grad_(), example.ref.clone().requires_grad_()
    estimator(logp, ref).sum().backward()
    assert torch.allclose(logp.grad, slope(example.new - example.ref))
    assert ref.grad is None


def test_as_a_loss_k2_has_the_gradient_of_the_reverse_kl_and_k3_that_of_the_forward_kl() -> None:
    # exactly, by summing over the vocabulary; the weights pi of the sum are the sampler's and carry no gradient
    ref = torch.tensor([0.2, 0.2, 0.6]).double().log()
    logits = torch.tensor([0.5, 0.3, 0.2]).double().log().requires_grad_()
    pi = logits.log_softmax(0)

    def slope(loss: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss, logits, retain_graph=True)[0]

    sampled = pi.detach().exp()
    assert torch.allclose(slope((sampled * k1(pi, ref)).sum()), torch.zeros(3).double(), atol=1e-12)
    assert torch.allclose(slope((sampled * k2(pi, ref)).sum()), slope((pi.exp() * (pi - ref)).sum()))
    assert torch.allclose(slope((sampled * k3(pi, ref)).sum()), slope((ref.exp() * (ref - pi)).sum()))


def test_k1_and_k3_are_unbiased() -> None:
    # exactly, by summing over the vocabulary: E_pi[k3] = KL(pi || ref)
    pi, ref = torch.tensor([0.5, 0.3, 0.2]).double().log(), torch.tensor([0.2, 0.2, 0.6]).double().log()
    kl = (pi.exp() * (pi - ref)).sum()
    for estimator in (k1, k3):
        assert torch.allclose((pi.exp() * estimator(pi, ref)).sum(), kl)
