"""Distances of log-probabilities, sorted by the weights that drew the token."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from reasonenv.core import Batch
from reasonenv.learn.tally import Tally


def batch(sampled: Tensor, old: Tensor, versions: Tensor, mask: Tensor) -> Batch:
    rows, width = mask.shape
    return Batch(
        tokens=torch.zeros(rows, 1 + width, dtype=torch.int64),
        prompt_length=torch.ones(rows, dtype=torch.int64),
        length=torch.full((rows,), width),
        mask=mask,
        sampled_logp=sampled,
        old_logp=old,
        rewards=torch.zeros(rows, width),
        discount=torch.ones(rows, width),
        group=torch.arange(rows),
        versions=versions,
    )


OLD = torch.tensor([[-1.0, -1.0, -1.0, -1.0], [-1.0, -1.0, -1.0, -1.0]])
SAMPLED = OLD + torch.tensor([[0.1, -0.3, 2.0, 9.0], [-4.0, 0.2, 9.0, 9.0]])
VERSIONS = torch.tensor([[7, 7, 6, 7], [3, 7, 7, 7]])
MASK = torch.tensor([[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]])  # the environment wrote the 9s


def metrics(version: int, *cuts: slice) -> dict[str, float]:
    tally = Tally(version)
    for rows in cuts:
        part = batch(SAMPLED[rows], OLD[rows], VERSIONS[rows], MASK[rows])
        tally.add(part.old_logp, torch.zeros_like(part.mask), part, 0.0, {})
    return tally.metrics()


@pytest.mark.parametrize("cuts", [(slice(0, 2),), (slice(0, 1), slice(1, 2)), (slice(1, 2), slice(0, 1))])
def test_the_gap_is_of_todays_weights_and_the_drift_of_older_ones(cuts: tuple[slice, ...]) -> None:
    seen = metrics(7, *cuts)
    # Drawn with version 7: |0.1|, |-0.3|, |0.2|. Older: |2.0| of version 6 and |-4.0| of version 3.
    assert seen["gap/mean"] == pytest.approx((0.1 + 0.3 + 0.2) / 3)
    assert seen["gap/max"] == pytest.approx(0.3)
    assert seen["drift/mean"] == pytest.approx((2.0 + 4.0) / 2)
    assert seen["drift/max"] == pytest.approx(4.0)
    # (sum w)^2 / (n sum w^2), w = exp(old - sampled)
    w, v = [math.exp(x) for x in (-0.1, 0.3, -0.2)], [math.exp(x) for x in (-2.0, 4.0)]
    assert seen["gap/ess"] == pytest.approx(sum(w) ** 2 / sum(x * x for x in w) / 3)
    assert seen["drift/ess"] == pytest.approx(sum(v) ** 2 / sum(x * x for x in v) / 2)


def test_what_no_token_says_anything_of_is_not_reported() -> None:
    assert not [name for name in metrics(8, slice(0, 2)) if name.startswith("gap/")]
    current = batch(SAMPLED, OLD, torch.full_like(VERSIONS, 7), MASK)
    tally = Tally(7)
    tally.add(current.old_logp, torch.zeros_like(MASK), current, 0.0, {})
    assert not [name for name in tally.metrics() if name.startswith("drift/")]
