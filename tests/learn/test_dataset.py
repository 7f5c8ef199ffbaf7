"""Trajectories survive being flat tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reasonenv.codec import ARRAYS
from reasonenv.core import Group
from reasonenv.learn.dataset import pack, unpack


def test_unpack_is_the_inverse_of_pack(groups: list[Group]) -> None:
    rows = [t for g in groups for t in g.trajectories]
    state = {name: tensor.clone() for name, tensor in pack(rows).items()} | {"policy.x": torch.ones(2)}
    back = unpack(state)
    assert len(back) == len(rows)
    for one, other in zip(rows, back, strict=True):
        assert (one.problem.id, one.problem.steps, one.verdict) == (
            other.problem.id,
            other.problem.steps,
            other.verdict,
        )
        assert (one.terminated, one.truncated, one.noise) == (other.terminated, other.truncated, other.noise)
        assert one.problem == other.problem
        for name in ARRAYS:
            mine, theirs = getattr(one, name), getattr(other, name)
            assert mine.dtype == theirs.dtype
            assert np.array_equal(mine, theirs), name


@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one_pack_too(groups: list[Group], count: int) -> None:
    rows = list(groups[0].trajectories[:count])
    assert [t.tokens.tolist() for t in unpack(pack(rows))] == [t.tokens.tolist() for t in rows]
