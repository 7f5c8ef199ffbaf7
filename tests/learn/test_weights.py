"""Weights: what each aggregation makes of one batch."""

from __future__ import annotations

import torch

from reasonenv.learn.weights import sequence_mean, token_mean


def test_token_mean_gives_every_token_the_same_weight(example) -> None:
    assert torch.allclose(token_mean(example.mask), example.mask / 21)


def test_sequence_mean_gives_every_sequence_the_same_weight(example) -> None:
    found = sequence_mean(example.mask)
    assert torch.allclose(found.sum(dim=1), torch.full((8,), 1 / 8))
    assert torch.allclose(found[0], torch.tensor([1 / 24, 1 / 24, 1 / 24, 0]))


def test_a_sequence_without_a_token_is_not_counted() -> None:
    mask = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert sequence_mean(mask).tolist() == [[0.5, 0.5], [0.0, 0.0]]
    assert token_mean(mask).tolist() == [[0.5, 0.5], [0.0, 0.0]]


def test_an_empty_mask_weighs_nothing() -> None:
    blank = torch.zeros(2, 3)
    for found in (token_mean(blank), sequence_mean(blank)):
        assert found.tolist() == blank.tolist()
