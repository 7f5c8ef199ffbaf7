"""Weights: what each aggregation makes of one batch."""

from __future__ import annotations

import torch

from reasonenv.learn.weights import constant, prompt_mean, sequence_mean, sequence_sum, token_mean


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
