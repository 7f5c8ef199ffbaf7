"""Evolutionary search: solutions recombine step by step, and the fittest have offspring.

    mutation    a prefix of a parent up to the end of some step, continued by the policy
    crossover   a prefix of one parent and the rest of another, at steps that come to the same value

A generation is `size` mutations of parents drawn from the fitter half of the population, and a crossover for each pair
of neighbours in it, where there is one; it costs no token. The `size` fittest of parents and offspring are the next
population. Fitness is the value, so with `Agreement` what most responses answer is fit.

Source: evolution of solutions by language models, as in FunSearch (Nature 625, 2024) and AlphaEvolve (2506.13131); the
operators are of genetic algorithms (Holland 1975). Differences: parts are reused token by token and no model is asked
to merge them; two steps come to the same state if the last number in both is the same.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from reasonenv.rollout.draws import Draws, Node
from reasonenv.rollout.search import Search, chosen
from reasonenv.rollout.values import Value
from reasonenv.verify.extract import step_value


class Evolution(Search):
    """A population of `size` solutions to each problem, generation by generation until the budget is spent."""

    size: ClassVar[int] = 8

    def run(self, draws: Draws, value: Value, samples: int) -> list[list[Node]]:
        pool = draws.responses([root for root in draws.roots() for _ in range(self.size)])
        generation = 0
        while any(draws.left):
            generation += 1
            population = chosen(draws, distinct(pool), value, self.size)
            children, offspring = list[Node](), list[Node]()
            for place, solutions in enumerate(population):
                if draws.left[place]:
                    children += self.mutations(draws, place, solutions, generation)
                    offspring += self.crossovers(draws, solutions)
            pool += draws.responses(children) + offspring
        return chosen(draws, distinct(pool), value, samples)

    def mutations(self, draws: Draws, place: int, solutions: list[Node], generation: int) -> list[Node]:
        """The prefixes from which the policy goes on; where there is no solution yet, none but the empty one."""
        fitter = solutions[: max(1, len(solutions) // 2)]
        draw = draws.generator(place, "generation", generation)
        prefixes = []
        for _ in range(self.size):
            parent = fitter[int(draw.integers(len(fitter)))] if fitter else draws.roots()[place]
            cuts = [0, *draws.ends(parent)]
            prefixes.append(parent.prefix(cuts[int(draw.integers(len(cuts)))]))
        return prefixes

    def crossovers(self, draws: Draws, solutions: list[Node]) -> list[Node]:
        """Of each two neighbours in the fitter half the first crossover that is neither of them."""
        offspring = []
        for one, other in pairwise(solutions[: max(2, len(solutions) // 2)]):
            child = crossover(draws, one, other)
            if child is not None:
                offspring.append(child)
        return offspring


def crossover(draws: Draws, one: Node, other: Node) -> Node | None:
    """The beginning of `one` and the rest of `other`, at the first two steps that come to the same value."""
    places = {}
    for end in reversed(draws.ends(other)):
        places[step_result(draws, other, end)] = end
    for end in draws.ends(one):
        result = step_result(draws, one, end)
        if result is not None and result in places:
            child = draws.grafted(one.prefix(end), other, places[result])
            if child is not None and child.tokens not in (one.tokens, other.tokens):
                return child
    return None


def step_result(draws: Draws, node: Node, end: int) -> object | None:
    """The value that the step before `end` comes to; None if it has none."""
    lines = draws.text(node.prefix(end)).rstrip("\n").split("\n")
    return step_value(lines[-1])


def distinct(nodes: list[Node]) -> list[Node]:
    """The first of all nodes of one problem with the same tokens."""
    first: dict[tuple[int, tuple[int, ...]], Node] = {}
    for node in nodes:
        first.setdefault((node.place, node.tokens), node)
    return list(first.values())
