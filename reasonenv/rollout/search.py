"""Searching for responses: a sampler, a budget of tokens for each problem, and a value to go by.

    class Mine(Search):
        def run(self, draws, value, samples):
            responses = draws.responses([root for root in draws.roots() for _ in range(8)])
            return chosen(draws, responses, value, samples)

A search advances all its problems together: what it wants drawn of one round goes into one call of `draws`. It meets
prefixes and their values, and neither problems nor verdicts, so whether it can look at a reference answer is decided by
whoever makes its `Value`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from reasonenv.core import Completion, Group, Trajectory
from reasonenv.errors import UserError
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.state import State
from reasonenv.rollout.draws import Draws, Node, finished_nodes
from reasonenv.rollout.groups import draw_seeds, sample_groups
from reasonenv.rollout.values import Value
from reasonenv.sampling.sampler import Sampler, Sampling


class Search(ABC):
    """Slot: `run`."""

    # Whether it chooses among what it draws, or makes responses of parts. One that does not hands over every response
    # that it draws, each a draw of the policy, and is handed no value.
    selects: ClassVar[bool] = True

    @abstractmethod
    def run(self, draws: Draws, value: Value, samples: int) -> list[list[Node]]:
        """For each problem of `draws` at most `samples` finished responses, the best first; fewer if there are fewer.

        It ends when the budget of every problem is spent, or earlier.
        """


@dataclass(frozen=True)
class Searching:
    """A search, the value that it goes by in a process, and the tokens that it may draw for a problem."""

    search: Search
    value: Callable[[ReasoningMDP], Value] | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        if self.search.selects and (self.value is None or not self.tokens):
            raise UserError(
                f"{type(self.search).__name__} selects, so it needs a value and a budget; give both, tokens=2048 say"
            )


@dataclass(frozen=True)
class Rollouts:
    """Groups, and what it took to have them: for each problem the tokens drawn, and the responses drawn to their end.

    Tokens and responses that were thrown away are counted too.
    """

    groups: list[Group]
    tokens: list[int]  # [N]
    responses: list[int]  # [N]

    @classmethod
    def of(cls, groups: list[Group]) -> Rollouts:
        """Groups of which nothing was thrown away."""
        tokens, responses = [], []
        for group in groups:
            tokens.append(sum(len(t.tokens) for t in group.trajectories))
            responses.append(len(group.trajectories))
        return cls(groups, tokens, responses)


def roll_out(
    searching: Searching | None,
    sampler: Sampler,
    mdp: ReasoningMDP,
    problems: Sequence[int],
    samples: int,
    *,
    temperature: float,
    seed: tuple[int | str, ...],
    progress: Callable[[int], None] = lambda finished: None,
) -> Rollouts:
    """`samples` verified trajectories of each problem: drawn one by one, or at most so many that a search comes upon.

    Draws are those of `sample_groups`. A problem for which a search finishes no response has a group of none.
    """
    if searching is None:
        return Rollouts.of(
            sample_groups(sampler, mdp, problems, samples, temperature=temperature, seed=seed, progress=progress)
        )
    check_searchable(mdp)
    seeds = [row[0] for row in draw_seeds(problems, 1, seed)]
    sampling = Sampling(mdp.max_tokens, temperature)
    draws = Draws(sampler, mdp, problems, seeds, sampling, searching.tokens, progress)
    value = searching.value(mdp) if searching.search.selects and searching.value else _Blind()
    responses = searching.search.run(draws, value, samples)
    _check(searching.search, draws, responses, samples)
    groups = []
    for place, (index, nodes) in enumerate(zip(problems, responses, strict=True)):
        rows = [_trajectory(mdp, node, seeds[place], searching.search.selects) for node in nodes]
        groups.append(Group(mdp.problems[index], tuple(rows)))
    return Rollouts(groups, draws.spent, [len(nodes) for nodes in draws.finished])


def chosen(draws: Draws, responses: Sequence[Node], value: Value, samples: int) -> list[list[Node]]:
    """The `samples` best of some finished responses to each problem; of equals the first. Unfinished ones are none."""
    finished = [node for node in responses if node.over]
    ranked: list[list[tuple[float, Node]]] = [[] for _ in draws.problems]
    for node, worth in zip(finished, value(finished), strict=True):
        ranked[node.place].append((worth, node))
    best = []
    for nodes in ranked:
        nodes.sort(key=lambda pair: -pair[0])
        best.append([node for _, node in nodes[:samples]])
    return best


def check_searchable(mdp: ReasoningMDP) -> None:
    """Raises `UserError` for an environment that writes by itself.

    A search goes on from the same prefix more than once, so it would know what the environment is to draw there.
    """
    if mdp.stochastic:
        raise UserError(
            f"a search knows no environment that writes by itself, as that of {mdp.task.name} does here; "
            "leave out the search, or replies=, tools= and stochastic="
        )


class _Blind(Value):
    """The value of a search that does not select."""

    def __call__(self, nodes: Sequence[Node]) -> list[float]:
        raise UserError("this search says that it selects nothing, so it has no value to go by; set selects = True")


def _check(search: Search, draws: Draws, responses: Any, samples: int) -> None:
    """Raises `UserError` for what no search returns."""
    name = type(search).__name__
    if not isinstance(responses, list) or len(responses) != len(draws.problems):
        raise UserError(f"{name}.run returned {responses!r:.60}; it must return a list of nodes for each problem")
    for place, nodes in enumerate(responses):
        for node in nodes:
            if not isinstance(node, Node) or not node.over or node.place != place:
                raise UserError(f"{name}.run returned {node!r:.60}; it must be a finished node of problem {place}")
        if search.selects and len(nodes) > samples:
            raise UserError(f"{name}.run returned {len(nodes)} responses to a problem; it must be at most {samples}")
    drawn, returned = finished_nodes(draws), [node for nodes in responses for node in nodes]
    if not search.selects and set(map(id, drawn)) != set(map(id, returned)):
        raise UserError(
            f"{name} says that it selects nothing and drew {len(drawn)} responses, of which it returned "
            f"{len(returned)}; set selects = True, or return them all"
        )


def _trajectory(mdp: ReasoningMDP, node: Node, seed: int, selected: bool) -> Trajectory:
    """The episode of a finished response."""
    stop: Literal["eos", "length"] = "eos" if mdp.terminated(State(node.index, node.tokens)) else "length"
    completion = Completion(
        tokens=np.array(node.tokens, dtype=np.int64),
        logprobs=np.array(node.logprobs, dtype=np.float32),
        stop=stop,
        versions=np.array(node.versions, dtype=np.int64),
        seed=seed,
        selected=selected,
    )
    return replace(mdp.trajectory(node.index, completion), branches=node.branches)
