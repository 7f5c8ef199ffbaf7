"""Evolutionary search: solutions recombine step by step, and the fittest have offspring.

    mutation    a prefix of a parent up to the end of some step, continued by the policy
    crossover   a prefix of one parent and the rest of another, at steps that come to the same value

A generation is `size` mutations of parents drawn from the fitter half of the population, and a crossover for each pair
of neighbours in it, where there is one; it costs no token. The `size` fittest of parents and offspring, no two alike,
are the next population. Fitness is the value of a solution among all that there were, each draw counted: with
`Agreement` what most of them answer is fit.

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
            children, offspring = list[Node](), list[Node]()
            for place, solutions in enumerate(distinct(chosen(draws, pool, value, len(pool)), self.size)):
                if draws.left[place]:
                    children += self.mutations(draws, place, solutions, generation)
                    offspring += self.crossovers(draws, solutions)
            known = {(node.place, node.tokens) for node in pool}
            pool += [child for child in offspring if (child.place, child.tokens) not in known]
            pool += draws.responses(children)
        return distinct(chosen(draws, pool, value, len(pool)), samples)

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


def distinct(ranked: list[list[Node]], count: int) -> list[list[Node]]:
    """The first `count` solutions of each problem that are not the same token by token."""
    solutions = []
    for nodes in ranked:
        first: dict[tuple[int, ...], Node] = {}
        for node in nodes:
            first.setdefault(node.tokens, node)
        solutions.append(list(first.values())[:count])
    return solutions
