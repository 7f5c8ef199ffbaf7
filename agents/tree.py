"""Policy gradient by trees of rollouts: what a step is worth is measured against other steps from the same prefix.

    V(leaf) = R,   V(n) = mean of V over the children of n,   A(c) = V(c) - mean of V over the siblings of c
    grad J = E[ sum_n w(n) 1/b sum_(children c of n) A(c) grad log pi(c | n) ],   w(n): product of 1/b down to n

c is a step or, on the last level, the rest of the response; b are the children of a node. Given n they are independent
draws, V(c) is an unbiased estimate of Q(n, c) of which the siblings know nothing, and w(n) is the chance of n if the
tree is walked down by lot. So this is the policy gradient, level by level, whatever the lengths. With b = G it is
`rloo` without KL.

Source: SPO, 2505.23564 (SPO-tree: V of a node is the mean of its children, the advantage of a segment V(c) - V(n));
also TreeRL, 2506.11902. Differences: the baseline leaves out the child itself, which V(n) holds, so that no factor of
(b - 1)/b is lost; nothing is scaled by a standard deviation, clipped or masked by probability; a segment is a step,
where SPO's has a number of tokens and TreeRL forks where the entropy is high; no V(n) - V(root) is added (TreeRL).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from reasonenv.agents.reinforce import Reinforce, ReinforceConfig
from reasonenv.core import Batch
from reasonenv.learn.advantages import leave_one_out
from reasonenv.policy.policy import Policy
from reasonenv.rollout.search import Searching
from reasonenv.rollout.searches.forks import Forks
from reasonenv.settings import record, setting

Node = tuple[Any, ...]  # its group, and (first token, number among its siblings) of each branch that leads to it


@record
class TreeConfig(ReinforceConfig):
    """G leaves: every node has b children, and if G is no power of b the root has what is left of it."""

    samples_per_problem: int = setting(8, "G: leaves of the tree of a problem (SPO: 6 * 6 * 6)")
    branches: int = setting(2, "b: children of a node (SPO: 6)", ge=2)

    least_samples = 2

    @property
    def widths(self) -> tuple[int, ...]:
        """The children of a node on each level, from the root down: their product is G."""
        widths, left = [], self.samples_per_problem
        while left % self.branches == 0 and left > self.branches:
            widths.append(self.branches)
            left //= self.branches
        return (left, *widths)


class Tree(Reinforce):
    """Policy gradient on trees of rollouts, siblings as baseline of each step. 2505.23564."""

    Config = TreeConfig
    config: TreeConfig
    loss_scales_with_advantage = True

    def __init__(self, policy: Policy, config: TreeConfig | None = None, *, seed: int = 0) -> None:
        super().__init__(policy, config, seed=seed)
        self.searching = Searching(Forks(self.config.widths))

    def advantage(self, batch: Batch) -> Tensor:
        leaves = leaves_of(batch)
        returns = batch.rewards.sum(dim=1)
        values = dict(zip(leaves, returns.double(), strict=True))
        credit: dict[Node, float] = {}
        for children in families(leaves):  # from the leaves up
            worth = torch.stack([values[child] for child in children])
            values[children[0][:-1]] = worth.mean()
            credit.update(zip(children, leave_one_out(worth, torch.zeros(len(worth))).tolist(), strict=True))
        advantage = torch.zeros_like(batch.rewards)  # [B, T]
        for row, leaf in enumerate(leaves):
            for size in range(2, len(leaf) + 1):
                start = leaf[size - 1][0]
                advantage[row, start:] = credit[leaf[:size]]
        return advantage

    def weights(self, batch: Batch) -> Tensor:
        leaves = leaves_of(batch)
        siblings = {children[0][:-1]: len(children) for children in families(leaves)}
        written = batch.mask.sum(dim=1) > 0
        trees = len(set(batch.group[written].tolist()))
        share = torch.full((len(leaves), 1), 1 / max(trees, 1))  # [B, 1]
        for row, leaf in enumerate(leaves):
            for size in range(1, len(leaf)):
                share[row] /= siblings[leaf[:size]]
        return share * batch.mask


def leaves_of(batch: Batch) -> list[Node]:
    """Where each row is in the tree of its group; a row without branches is a child of the root by itself.  # [B]"""
    leaves: list[Node] = []
    for row, (group, numbers) in enumerate(zip(batch.group.tolist(), branches_of(batch), strict=True)):
        starts = numbers.nonzero()[:, 0].tolist()
        branches = [(start, int(numbers[start])) for start in starts] or [(0, -row)]
        leaves.append((group, *branches))
    return leaves


def branches_of(batch: Batch) -> Tensor:
    """The branches that begin in each row.  # [B, T]"""
    return torch.zeros_like(batch.mask) if batch.branches is None else batch.branches


def families(leaves: list[Node]) -> list[list[Node]]:
    """The children of every inner node, those of the deepest first."""
    children: dict[Node, dict[Node, None]] = {}
    for leaf in leaves:
        for size in range(1, len(leaf)):
            children.setdefault(leaf[:size], {})[leaf[: size + 1]] = None
    return [list(children[node]) for node in sorted(children, key=len, reverse=True)]
