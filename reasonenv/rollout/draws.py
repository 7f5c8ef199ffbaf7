"""All that a search may draw: continuations of prefixes, within a budget of tokens for each problem.

The budget is kept to the token. Every token that the sampler returns is counted, also behind the end of a step, and
none is drawn that is not left. What is drawn for a problem is a function of (weights, problem, seed, budget) alone,
whatever other problems are searched beside it: their continuations share the calls of the sampler and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from reasonenv.core import Completion
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.state import State
from reasonenv.sampling.sampler import Sampler, Sampling
from reasonenv.seeding import derive_seed, generator

CHUNK = 256  # tokens of a continuation that are drawn in one call, at most


@dataclass(frozen=True, eq=False)  # two nodes with the same tokens are two draws
class Node:
    """A response as far as it is written; `place` is that of its problem among those that are searched."""

    place: int
    index: int  # of its problem in the task
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()  # as each token was drawn
    versions: tuple[int, ...] = ()
    over: bool = False  # finished: it ended, or the response's own limit is reached
    branches: tuple[tuple[int, int], ...] = ()  # as `Trajectory.branches`

    def prefix(self, size: int) -> Node:
        """The unfinished response of its first `size` tokens."""
        return Node(self.place, self.index, self.tokens[:size], self.logprobs[:size], self.versions[:size])


@dataclass
class _Row:
    """A continuation under way."""

    node: Node
    seed: int
    chunks: int = 0
    limit: int = 0  # tokens of the next chunk
    complete: bool = False

    def chunk_seed(self) -> int:
        """The seed of its next chunk; the first has that of the continuation."""
        return derive_seed(self.seed, "chunk", self.chunks) if self.chunks else self.seed


@dataclass
class Draws:
    """Draws continuations for `problems` of `mdp`, a seed for each, of `sampling` but for its `max_tokens` and `stop`.

    `budget` is in tokens a problem; None for no limit. `left` [N] is what of it is left, `spent` [N] what is not, and
    `finished` [N] the responses that were drawn to their end, in that order.
    """

    sampler: Sampler
    mdp: ReasoningMDP
    problems: Sequence[int]
    seeds: Sequence[int]
    sampling: Sampling
    budget: int | None
    progress: Callable[[int], None] = lambda finished: None
    spent: list[int] = field(init=False)
    finished: list[list[Node]] = field(init=False)

    def __post_init__(self) -> None:
        self.spent = [0 for _ in self.problems]
        self.finished = [[] for _ in self.problems]
        self._continuations = [0 for _ in self.problems]
        self._stop = tuple(np.flatnonzero(self.mdp.tokenizer.ends_step).tolist())

    @property
    def left(self) -> list[int]:
        """Tokens that may still be drawn for each problem.  # [N]"""
        budget = 1 << 60 if self.budget is None else self.budget
        return [budget - spent for spent in self.spent]

    @property
    def longest(self) -> int:
        """Tokens of a response, at most."""
        return self.mdp.max_tokens

    def roots(self) -> list[Node]:
        """The empty response to each problem.  # [N]"""
        return [Node(place, index) for place, index in enumerate(self.problems)]

    def steps(self, nodes: Sequence[Node]) -> list[Node]:
        """Each node with one more step, drawn to the end of a line or of the response.

        Where nothing is left of a budget, the step is as long as it was until then, perhaps empty.
        """
        return self._continued(nodes, self._stop)

    def responses(self, nodes: Sequence[Node]) -> list[Node]:
        """Each node drawn to the end of the response, or as far as the budget allows: then it is not `over`."""
        return self._continued(nodes, ())

    def ends(self, node: Node) -> list[int]:
        """The sizes of the prefixes of a node that end with a step and do not end the response."""
        ends = np.flatnonzero(self.mdp.tokenizer.ends_step[list(node.tokens)]) + 1
        return [int(end) for end in ends if end < len(node.tokens)]

    def text(self, node: Node) -> str:
        """What is written, without the token that ends it."""
        return self.mdp.text(State(node.index, node.tokens))

    def grafted(self, node: Node, other: Node, size: int) -> Node | None:
        """`node` with what stands behind the first `size` tokens of `other`; None if that is too long a response."""
        tokens = node.tokens + other.tokens[size:]
        whole = replace(
            node,
            tokens=tokens,
            logprobs=node.logprobs + other.logprobs[size:],
            versions=node.versions + other.versions[size:],
            over=self.mdp.over(State(node.index, tokens)),
        )
        return whole if len(tokens) <= self.longest and whole.over else None

    def generator(self, place: int, *purpose: int | str) -> np.random.Generator:
        """Random numbers for the choices of a search on one problem."""
        return generator(self.seeds[place], *purpose)

    def _continued(self, nodes: Sequence[Node], stop: tuple[int, ...]) -> list[Node]:
        rows = []
        for node in nodes:
            seed = derive_seed(self.seeds[node.place], "continuation", self._continuations[node.place])
            self._continuations[node.place] += 1
            rows.append(_Row(node, seed, complete=node.over))
        active = rows
        while active := self._affordable([row for row in active if not row.complete]):
            for limit in sorted({row.limit for row in active}):
                self._draw([row for row in active if row.limit == limit], limit, stop)
        return [row.node for row in rows]

    def _affordable(self, rows: Sequence[_Row]) -> list[_Row]:
        """Those that get a share of what is left of their problem's budget, with their limits.

        A limit is a power of two, so that few calls have all of them.
        """
        by_place: dict[int, list[_Row]] = {}
        for row in rows:
            by_place.setdefault(row.node.place, []).append(row)
        left = self.left
        affordable = []
        for place, together in by_place.items():
            share = max(1, left[place] // len(together))
            for row in together[: left[place]]:
                most = min(CHUNK, share, self.longest - len(row.node.tokens))
                row.limit = 1 << (most.bit_length() - 1)
                affordable.append(row)
        return affordable

    def _draw(self, rows: Sequence[_Row], limit: int, stop: tuple[int, ...]) -> None:
        """One more chunk of each row, of `limit` tokens at most."""
        histories = []
        for row in rows:
            prompt = self.mdp.prompts[row.node.index].tolist()
            histories.append(((*prompt, *row.node.tokens), row.chunk_seed()))
        drawn = continuations(self.sampler, histories, replace(self.sampling, max_tokens=limit, stop=stop))
        for row, completion in zip(rows, drawn, strict=True):
            self._append(row, completion, stop)

    def _append(self, row: _Row, completion: Completion, stop: tuple[int, ...]) -> None:
        """Takes a chunk up to the first token that ends the step or the response."""
        node, place, tokens = row.node, row.node.place, completion.tokens.tolist()
        self.spent[place] += len(tokens)
        ends = (n for n, token in enumerate(tokens, 1) if token in self.mdp.tokenizer.ends or token in stop)
        size = next(ends, len(tokens))
        written = (*node.tokens, *tokens[:size])
        row.node = replace(
            node,
            tokens=written,
            logprobs=(*node.logprobs, *completion.logprobs[:size].tolist()),
            versions=(*node.versions, *completion.versions[:size].tolist()),
            over=self.mdp.over(State(node.index, written)),
        )
        row.chunks += 1
        row.complete = row.node.over or written[-1] in stop
        if row.node.over:
            self.finished[place].append(row.node)
            self.progress(1)


def continuations(
    sampler: Sampler, histories: Sequence[tuple[Sequence[int], int]], sampling: Sampling
) -> list[Completion]:
    """The completion behind each history, from the seed beside it. Equal histories are one prompt, read once."""
    seeds: dict[tuple[int, ...], list[int]] = {}  # by history
    for history, seed in histories:
        seeds.setdefault(tuple(history), []).append(seed)
    prompts = [np.array(history, dtype=np.int64) for history in seeds]
    drawn = sampler.generate(prompts, list(seeds.values()), sampling)
    left = dict(zip(seeds, map(iter, drawn), strict=True))
    return [next(left[tuple(history)]) for history, _ in histories]


def finished_nodes(draws: Draws) -> list[Node]:
    """All responses that were drawn to their end, problem by problem."""
    return list(chain.from_iterable(draws.finished))
