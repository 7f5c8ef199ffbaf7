"""Step-level tree search: an action is a step, a state is a prefix, and the tree grows where its value is highest.

A round expands one leaf of each problem's tree by `width` steps drawn from the policy; equal draws are one child, whose
prior P is their share. A draw is worth what the value says of it or, if that judges finished responses alone, of one
response drawn on from it. Q of a branch is the mean over all draws that were judged in it and below it, N their number.

    PUCT         from the root to the child of largest  Q(c) + C P(c) sqrt(N(parent)) / (1 + N(c)),  down to a leaf
    best-first   the leaf of largest Q in the whole tree

A tree of which every leaf is finished is expanded at its root again, and searched no further if nothing new comes.

Sources: AlphaZero (1712.01815) and, for priors of sampled actions, Sampled MuZero (2104.06303); best-first search of
language models, 2407.01476 and, as breadth-first, Tree of Thoughts (2305.10601). Differences: values come from an
outcome reward model or from finished responses, not from a prompt; the answer is the best of all finished responses in
place of the most visited child.
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
    """A prefix in the tree of a problem, and how often it was drawn."""

    node: Node
    parent: Branch | None = None
    drawn: int = 0
    judged: list[Node] = field(default_factory=list)  # what its own value is that of: one for each draw of it
    children: dict[tuple[int, ...], Branch] = field(default_factory=dict)  # by their tokens
    visits: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float:
        """Q; 0 of a branch in which nothing was judged."""
        return self.total / max(1, self.visits)

    @property
    def closed(self) -> bool:
        """Whether every leaf in it is finished."""
        if self.children:
            return all(child.closed for child in self.children.values())
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
        active = [[Branch(root)] for root in draws.roots()]  # all branches of the tree of each problem, its root first
        while active:
            leaves = [tree[0] if tree[0].closed else self.select(tree) for tree in active]
            grown = self._grow(draws, leaves, value)
            for tree, branches in zip(active, grown, strict=True):
                tree += branches
            judge(active, value)
            left, trees = draws.left, zip(active, grown, strict=True)
            active = [tree for tree, new in trees if left[tree[0].node.place] and (new or not tree[0].closed)]
        return chosen(draws, finished_nodes(draws), value, samples)

    def _grow(self, draws: Draws, leaves: Sequence[Branch], value: Value) -> list[list[Branch]]:
        """Expands each leaf, and returns its new children."""
        steps = iter(draws.steps([leaf.node for leaf in leaves for _ in range(self.width)]))
        grown: list[list[Branch]] = []
        pairs: list[tuple[Branch, Node]] = []  # every draw with the branch that it is one of
        for leaf in leaves:
            grown.append([])
            for _ in range(self.width):
                step = next(steps)
                if step.tokens == leaf.node.tokens:
                    continue  # nothing was left to draw
                if step.tokens not in leaf.children:
                    leaf.children[step.tokens] = Branch(step, leaf)
                    grown[-1].append(leaf.children[step.tokens])
                leaf.children[step.tokens].drawn += 1
                pairs.append((leaf.children[step.tokens], step))
        if not value.judges_prefixes:
            responses = draws.responses([step for _, step in pairs])
            pairs = [(branch, response) for (branch, _), response in zip(pairs, responses, strict=True)]
        for branch, node in pairs:
            if value.judges_prefixes or node.over:
                branch.judged.append(node)
        return grown


def judge(trees: Sequence[Sequence[Branch]], value: Value) -> None:
    """Counts anew what was judged in each branch and below it: a value may compare all responses to a problem."""
    judged: list[tuple[Branch, Node]] = []
    for tree in trees:
        for branch in tree:
            branch.visits, branch.total = 0, 0.0
            judged += [(branch, node) for node in branch.judged]
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
            open_children = [child for child in branch.children.values() if not child.closed]
            branch = max(open_children, key=self.bound)
        return branch

    def bound(self, branch: Branch) -> float:
        """Q + C P sqrt(N of the parent) / (1 + N)."""
        assert branch.parent is not None, "the root is nobody's child"
        siblings = sum(child.drawn for child in branch.parent.children.values())
        spread = branch.drawn / siblings * math.sqrt(branch.parent.visits) / (1 + branch.visits)
        return branch.mean + self.exploration * spread


class BestFirst(TreeSearch):
    """Expands what is worth most, wherever it is in the tree."""

    def select(self, branches: Sequence[Branch]) -> Branch:
        leaves = [branch for branch in branches if not branch.children and not branch.closed]
        return max(leaves, key=lambda leaf: leaf.mean)
