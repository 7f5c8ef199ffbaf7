"""Independent draws until the budget is spent, and the best of them: what any other search has to beat.

    answer = argmax_k V(S_k),   S_k ~ pi(. | Q),   sum_k |S_k| <= budget

By `Agreement` it is majority voting (2203.11171), by an outcome reward model rerank (2110.14168), each at equal tokens.
"""

from __future__ import annotations

from itertools import chain, repeat

from reasonenv.rollout.draws import Draws, Node, finished_nodes
from reasonenv.rollout.search import Search, chosen
from reasonenv.rollout.values import Value

WIDTH = 64  # responses to a problem that are drawn at once, at most


class BestOfN(Search):
    """As many responses as the budget allows. The last one may be cut by it, and is thrown away then."""

    def run(self, draws: Draws, value: Value, samples: int) -> list[list[Node]]:
        active = draws.roots()
        while active:
            left = draws.left
            counts = [max(1, min(WIDTH, left[root.place] // draws.longest)) for root in active]
            draws.responses(list(chain.from_iterable(map(repeat, active, counts))))
            left = draws.left
            active = [root for root in active if left[root.place]]
        return chosen(draws, finished_nodes(draws), value, samples)
