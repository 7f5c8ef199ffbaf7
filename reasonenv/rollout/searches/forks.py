"""Rollouts that share their first steps: a tree of draws, of which nothing is thrown away.

A node of level l has `widths[l]` children, each one step drawn on from it by itself; those of the last level are drawn
to the end. A response that ends earlier is a leaf there. Each leaf is a draw of the policy, and so is each step given
its prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reasonenv.rollout.draws import Draws, Node
from reasonenv.rollout.search import Search
from reasonenv.rollout.values import Value


class Forks(Search):
    """Trees with as many children on each level as `widths` says: their product is the responses to a problem."""

    selects = False

    def __init__(self, widths: Sequence[int]) -> None:
        self.widths = tuple(widths)

    def run(self, draws: Draws, value: Value, samples: int) -> list[list[Node]]:
        nodes = draws.roots()
        for level, width in enumerate(self.widths, start=1):
            extend = draws.responses if level == len(self.widths) else draws.steps
            children = []
            for node in nodes:
                children += [replace(node, branches=(*node.branches, (len(node.tokens), k))) for k in range(width)]
            nodes = [child for child in extend(children) if not child.over]
        return draws.finished
