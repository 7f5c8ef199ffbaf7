"""Estimators of the KL divergence: values, gradients, and what they are estimates of."""

from __future__ import annotations

import pytest
import torch

from reasonenv.learn.kl import k3
from reasonenv.learn.weights import token_mean


def test_k3_of_the_worked_example(example) -> None:
    assert float((token_mean(example.mask) * k3(example.new, example.ref)).sum()) == pytest.approx(0.047766, abs=6e-7)


def test_gradient_of_k3_is_that_of_the_forward_kl_and_leaves_the_reference_alone(example) -> None:
    logp, ref = example.new.clone().requires_grad_(), example.ref.clone().requires_grad_()
    k3(logp, ref).sum().backward()
    assert torch.allclose(logp.grad, 1 - (example.ref - example.new).exp())
    assert ref.grad is None


def test_k3_is_unbiased() -> None:
    # exactly, by summing over the vocabulary: E_pi[k3] = KL(pi || ref)
    pi, ref = torch.tensor([0.5, 0.3, 0.2]).double().log(), torch.tensor([0.2, 0.2, 0.6]).double().log()
    kl = (pi.exp() * (pi - ref)).sum()
    assert torch.allclose((pi.exp() * k3(pi, ref)).sum(), kl)
