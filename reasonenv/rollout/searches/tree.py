"""Step-level tree search: an action is a step, a state is a prefix, and the tree grows where its value is highest.

A round expands one leaf of each problem's tree by `width` steps drawn from the policy; equal draws are one child, whose
prior P is their share. A child is worth what the value says of it or, if that judges finished responses alone, of one
response drawn on from it. Q of a branch is the mean over all that was judged in it and below it, N their number.

    PUCT         from the root to the child of largest  Q(c) + C P(c) sqrt(N(parent)) / (1 + N(c)),  down to a leaf
    best-first   the leaf of largest Q in the whole tree

Sources: AlphaZero (1712.01815) and, for priors of sampled actions, Sampled MuZero (2104.06303); best-first search of
language models, 2407.01476 and, as breadth-first, Tree of Thoughts (2305.10601). Differences: values come from an
outcome reward model or from finished responses, not from a prompt; a branch is expanded once; the answer is the best of
all finished responses in place of the most visited child.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from reasonenv.rollout.draws import Draws, Node, finished_nodes
from reasonenv.rollout.search import Search, chosen
from reasonenv.rollout.values import Value


@dataclass(eq=False)
class Branch:
    """A prefix in the tree of a problem."""

    node: Node
    parent: Branch | None = None
    prior: float = 1.0
    judged: Node | None = None  # what its own value is that of: the prefix itself, or a response drawn on from it
    children: list[Branch] = field(default_factory=list)
    visits: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float:
        """Q; 0 of a branch in which nothing was judged."""
        return self.total / max(1, self.visits)

    @property
    def closed(self) -> bool:
        """Whether there is nothing left to expand in it."""
        if self.children:
            return all(child.closed for child in self.children)
        return self.node.over

    def lineage(self) -> Iterator[Branch]:
        """The branch, its parent, and so on to the root."""
        branch: Branch | None = self
        while branch is not None:
            yield branch
            branch = branch.parent


class TreeSearch(Search):
    """Slot: which leaf to `select`."""

    width: ClassVar[int] = 4  # steps that are drawn from a leaf

    @abstractmethod
    def select(self, branches: Sequence[Branch]) -> Branch:
        """The leaf to expand, of all branches of a tree that is not closed; the first is its root."""

    def run(self, draws: Draws, value: Value, samples: int) -> list[list[Node]]:
        trees = [[Branch(root)] for root in draws.roots()]  # all branches of each problem's tree, its root first
        active = trees
        while active := [tree for tree in active if draws.left[tree[0].node.place] and not tree[0].closed]:
            self._grow(draws, [(tree, self.select(tree)) for tree in active], value)
            judge(active, value)
        return chosen(draws, finished_nodes(draws), value, samples)

    def _grow(self, draws: Draws, leaves: Sequence[tuple[list[Branch], Branch]], value: Value) -> None:
        """Expands the leaf of each tree."""
        steps = iter(draws.steps([leaf.node for _, leaf in leaves for _ in range(self.width)]))
        grown: list[Branch] = []
        for tree, leaf in leaves:
            counts: dict[tuple[int, ...], list[Node]] = {}
            for _ in range(self.width):
                step = next(steps)
                counts.setdefault(step.tokens, []).append(step)
            counts.pop(leaf.node.tokens, None)  # of an empty step, where nothing was left to draw
            leaf.children = [Branch(same[0], leaf, len(same) / self.width) for same in counts.values()]
            tree += leaf.children
            grown += leaf.children
        unfinished = []
        for child in grown:
            if value.judges_prefixes or child.node.over:
                child.judged = child.node
            else:
                unfinished.append(child)
        responses = draws.responses([child.node for child in unfinished])
        for child, response in zip(unfinished, responses, strict=True):
            child.judged = response if response.over else None


def judge(trees: Sequence[Sequence[Branch]], value: Value) -> None:
    """Counts anew what was judged in each branch and below it: a value may compare all responses to a problem."""
    branches = [branch for tree in trees for branch in tree]
    for branch in branches:
        branch.visits, branch.total = 0, 0.0
    judged = [(branch, branch.judged) for branch in branches if branch.judged is not None]
    for (branch, _), worth in zip(judged, value([node for _, node in judged]), strict=True):
        for ancestor in branch.lineage():
            ancestor.visits += 1
            ancestor.total += worth


class PUCT(TreeSearch):
    """Weighs the value of a branch against how seldom it was visited."""

    exploration: ClassVar[float] = 1.0  # C

    def select(self, branches: Sequence[Branch]) -> Branch:
        branch = branches[0]
        while branch.children:
            open_children = [child for child in branch.children if not child.closed]
            branch = max(open_children, key=self.bound)
        return branch

    def bound(self, branch: Branch) -> float:
        """Q + C P sqrt(N of the parent) / (1 + N)."""
        assert branch.parent is not None, "the root is nobody's child"
        spread = branch.prior * math.sqrt(branch.parent.visits) / (1 + branch.visits)
        return branch.mean + self.exploration * spread


class BestFirst(TreeSearch):
    """Expands what is worth most, wherever it is in the tree."""

    def select(self, branches: Sequence[Branch]) -> Branch:
        leaves = [branch for branch in branches if not branch.children and not branch.closed]
        return max(leaves, key=lambda leaf: leaf.mean)
