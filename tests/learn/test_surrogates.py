"""Surrogates: values of the worked example, gradients in closed form, and the law that on-policy all are REINFORCE."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reasonenv.learn.advantages import zscore
from reasonenv.learn.kl import k3
from reasonenv.learn.surrogates import clipped, likelihood
from reasonenv.learn.weights import sequence_mean, token_mean


def verl(example) -> Tensor:
    return zscore(example.rewards, example.group, ddof=1, eps=1e-6)[:, None].double()


def ppo(example, logp: Tensor, low: float = 0.2, high: float = 0.2) -> Tensor:
    return clipped(logp, anchor=example.old, advantage=verl(example), low=low, high=high)


def gold(loss: Tensor, expected: float) -> None:
    assert float(loss.double()) == pytest.approx(expected, abs=6e-7)


def gradient(loss, logp: Tensor) -> Tensor:
    leaf = logp.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf).sum(), leaf)[0]


def test_clipped_of_the_worked_example(example) -> None:
    gold((token_mean(example.mask) * ppo(example, example.new)).sum(), 0.150928)
    gold((sequence_mean(example.mask) * ppo(example, example.new)).sum(), 0.003099)
    gold((token_mean(example.mask) * ppo(example, example.new, high=0.28)).sum(), 0.144332)


def test_grpo_loss_of_the_worked_example(example) -> None:
    loss = ppo(example, example.new) + 0.04 * k3(example.new, example.ref)
    gold((sequence_mean(example.mask) * loss).sum(), 0.004814)


def test_clipped_has_no_gradient_where_the_ratio_has_left_the_box_in_the_direction_of_the_advantage() -> None:
    # ratios 1.5, 0.5, 1.0 under A = 1, then under A = -1: the clip stops up-moves of good and down-moves of bad tokens
    logp = torch.tensor([1.5, 0.5, 1.0, 1.5, 0.5, 1.0]).log()[None]
    advantage = torch.tensor([[1.0, 1, 1, -1, -1, -1]])
    found = gradient(lambda x: clipped(x, anchor=torch.zeros(1, 6), advantage=advantage, low=0.2, high=0.2), logp)
    assert torch.allclose(found, torch.tensor([[0.0, -0.5, -1.0, 1.5, 0.0, 1.0]]))  # - A r inside the box


SMOOTH = {
    "likelihood": lambda e, x: likelihood(x),
    "clipped": lambda e, x: ppo(e, x),
    "grpo": lambda e, x: ppo(e, x) + 0.04 * k3(x, e.ref),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_those_of_finite_differences(example, name: str) -> None:
    # none of the ratios of the example lies within 1e-4 of an edge of the box
    assert torch.autograd.gradcheck(lambda x: SMOOTH[name](example, x), example.new.clone().requires_grad_(), eps=1e-6)


ON_POLICY = {"clipped": lambda e, x, a: clipped(x, anchor=e.new, advantage=a, low=0.2, high=0.2)}


@pytest.mark.parametrize("name", ON_POLICY)
def test_on_policy_every_surrogate_has_the_gradient_of_reinforce(example, name: str) -> None:
    advantage = verl(example)
    found = gradient(lambda x: ON_POLICY[name](example, x, advantage) * example.mask, example.new)
    assert torch.allclose(found, -advantage * example.mask, atol=1e-12)
