"""Weights: what each aggregation makes of one batch."""

from __future__ import annotations

import pytest
import torch

from reasonenv.errors import UserError
from reasonenv.learn.weights import (
    constant,
    prompt_mean,
    sequence_mean,
    sequence_sum,
    token_mean,
    truncated_importance,
)


def test_token_mean_gives_every_token_the_same_weight(example) -> None:
    assert torch.allclose(token_mean(example.mask), example.mask / 21)


def test_sequence_mean_gives_every_sequence_the_same_weight(example) -> None:
    found = sequence_mean(example.mask)
    assert torch.allclose(found.sum(dim=1), torch.full((8,), 1 / 8))
    assert torch.allclose(found[0], torch.tensor([1 / 24, 1 / 24, 1 / 24, 0]))


def test_sequence_sum_and_constant_give_every_token_a_weight_that_no_length_changes(example) -> None:
    assert torch.allclose(sequence_sum(example.mask), example.mask / 8)
    assert torch.allclose(constant(example.mask, length=100), example.mask / 800)


def test_prompt_mean_gives_every_problem_the_same_weight(example) -> None:
    # 10 tokens in the first group, 11 in the second
    found = prompt_mean(example.mask, example.group)
    assert torch.allclose(found[:4], example.mask[:4] / 20)
    assert torch.allclose(found[4:], example.mask[4:] / 22)


def test_a_problem_without_a_token_is_not_counted(example) -> None:
    mask = example.mask.clone()
    mask[:4] = 0
    assert torch.allclose(prompt_mean(mask, example.group)[4:], mask[4:] / 11)


def test_a_sequence_without_a_token_is_not_counted() -> None:
    mask = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert sequence_mean(mask).tolist() == [[0.5, 0.5], [0.0, 0.0]]
    assert sequence_sum(mask).tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert constant(mask, length=2).tolist() == [[0.5, 0.5], [0.0, 0.0]]
    assert token_mean(mask).tolist() == [[0.5, 0.5], [0.0, 0.0]]


def test_an_empty_mask_weighs_nothing() -> None:
    blank = torch.zeros(2, 3)
    for found in (
        token_mean(blank),
        sequence_mean(blank),
        sequence_sum(blank),
        constant(blank, length=3),
        prompt_mean(blank, torch.zeros(2)),
    ):
        assert found.tolist() == blank.tolist()


def test_truncated_importance_turns_the_samplers_mean_into_the_trainers() -> None:
    # mu = (1/2, 1/2), pi = (3/4, 1/4): weights 3/2 and 1/2, so E_mu[w f] = E_pi[f]; a cap of 1.2 cuts the first alone
    mu = torch.tensor([[0.5, 0.5]]).log()
    pi = torch.tensor([[0.75, 0.25]]).log().requires_grad_()
    found = truncated_importance(pi, mu, cap=2.0)
    assert torch.allclose(found, torch.tensor([[1.5, 0.5]]))
    assert not found.requires_grad
    assert torch.allclose(truncated_importance(pi, mu, cap=1.2), torch.tensor([[1.2, 0.5]]))


def test_truncated_importance_is_refused_where_the_anchor_is_the_sampler() -> None:
    mu = torch.tensor([[-0.7, -0.7]])
    with pytest.raises(UserError, match="anchored on the sampler needs no correction"):
        truncated_importance(mu.clone(), mu, cap=2.0)
