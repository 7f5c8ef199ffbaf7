"""The worked example that all gold numbers refer to, and real groups for the laws."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from reasonenv.core import Completion, Group, IntArray, Trajectory
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.policy import Policy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.testing import scored

OLD = [
    [-0.5, -1.2, -0.1], [-0.7, -0.3], [-2, -0.4, -0.9, -0.05], [-0.2],
    [-1.5, -0.6], [-0.3, -0.8, -1.1, -0.4], [-0.6, -0.2, -2.3], [-0.9, -0.1],
]  # fmt: skip
NEW = [
    [-0.3, -1.3, -0.1], [-0.9, -0.3], [-2.6, -0.3, -0.5, -0.05], [-0.6],
    [-1.1, -0.5], [-0.4, -0.6, -1.1, -0.9], [-0.6, -0.25, -2], [-1.2, -0.1],
]  # fmt: skip
REF = [
    [-0.6, -1.1, -0.2], [-0.7, -0.4], [-1.8, -0.4, -0.8, -0.1], [-0.3],
    [-1.6, -0.6], [-0.3, -0.9, -1, -0.4], [-0.5, -0.2, -2.2], [-0.9, -0.15],
]  # fmt: skip


@dataclass(frozen=True)
class Example:
    """Two groups of four: the first half right, then one in four. Lengths 3 2 4 1 | 2 4 3 2, so 21 tokens."""

    rewards: Tensor  # [8]
    group: Tensor  # [8]
    mask: Tensor  # [8, 4]
    old: Tensor  # [8, 4]
    new: Tensor  # [8, 4]
    ref: Tensor  # [8, 4]


def padded(rows: list[list[float]]) -> Tensor:
    """Rows of 1 to 4 numbers, filled up with 0, in float64.  # [B, 4]"""
    return torch.tensor([[*row, *[0.0] * (4 - len(row))] for row in rows], dtype=torch.float64)


@pytest.fixture
def example() -> Example:
    return Example(
        rewards=torch.tensor([1.0, 0, 0, 1, 1, 0, 0, 0]),
        group=torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]),
        mask=padded([[1.0] * len(row) for row in OLD]).float(),
        old=padded(OLD),
        new=padded(NEW),
        ref=padded(REF),
    )


@pytest.fixture
def policy() -> Policy:
    return tiny_policy(0)


@pytest.fixture(scope="session")
def mdp() -> ReasoningMDP:
    return make_mdp("Chain", size=64, operators="+-")


@pytest.fixture
def groups(mdp: ReasoningMDP, policy: Policy) -> list[Group]:
    """Three problems of four answers: 2, 1 and 4 of them right, of different lengths, one cut off."""
    found = []
    for index, right in ((0, 2), (1, 1), (2, 4)):
        wrong = [[*mdp.tokenizer.encode(text), mdp.tokenizer.eos_id] for text in ("##", "8\n#### 999", "")]
        rows = [mdp.demonstration(index).tokens] * right + [np.array(row) for row in wrong][: 4 - right]
        found.append(Group(mdp.task.problems[index], tuple(respond(mdp, index, row) for row in rows)))
    cut = respond(mdp, 1, np.full(mdp.max_tokens, ord("7")))
    found[1] = replace(found[1], trajectories=(*found[1].trajectories[:-1], cut))
    assert [[t.ret for t in g.trajectories] for g in found] == [[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    return scored(policy, found)


def respond(mdp: ReasoningMDP, index: int, tokens: IntArray) -> Trajectory:
    """The trajectory that these tokens are."""
    stop = "eos" if tokens[-1] == mdp.tokenizer.eos_id else "length"
    return mdp.trajectory(index, Completion.unsampled(tokens.astype(np.int64), stop))
