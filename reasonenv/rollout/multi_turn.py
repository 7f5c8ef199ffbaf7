"""Rollouts in which the environment writes too: draw until it may have its say, let it, go on from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from reasonenv.core import Completion, IntArray, Trajectory
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.state import State
from reasonenv.sampling.sampler import Sampler, Sampling
from reasonenv.seeding import derive_seed


@dataclass
class _Row:
    """An episode under way: where it stands, and what the policy chose so far."""

    seed: int
    noise: int
    state: State
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def turn_seed(self) -> int:
        """The seed of the draws from here on. The first turn has that of the sample, as if there were no other."""
        return derive_seed(self.seed, "turn", len(self.tokens)) if self.tokens else self.seed


def converse(
    sampler: Sampler,
    mdp: ReasoningMDP,
    problems: Sequence[int],
    seeds: Sequence[Sequence[int]],
    *,
    temperature: float,
    progress: Callable[[int], None] = lambda finished: None,
) -> list[list[Trajectory]]:
    """One trajectory for each seed of each problem, in a stochastic process.

    All rows are drawn together, round by round, each from its own history. What a row drew behind a stop token, or
    behind one that the environment answered, is dropped: so a sampler that does not stop there draws the same.
    """
    rows = []
    stop, patience = tuple[int, ...](), None
    if mdp.dynamics is not None:
        stop, patience = mdp.dynamics.stop, mdp.dynamics.patience
    for index, own in zip(problems, seeds, strict=True):
        for seed in own:
            noise = derive_seed(seed, "noise")
            rows.append(_Row(seed, noise, mdp.initial(index, noise=noise)))
    active = rows
    while active:
        alike: dict[tuple[int, ...], list[_Row]] = {}  # rows with one history are read once
        for row in active:
            alike.setdefault((*mdp.prompt(row.state).tolist(), *row.state.tokens), []).append(row)
        room = max(mdp.max_tokens - len(row.state.tokens) for row in active)
        count = min(room, mdp.context - max(map(len, alike)), patience or room)
        drawn = sampler.generate(
            [np.array(history, dtype=np.int64) for history in alike],
            [[row.turn_seed() for row in same] for same in alike.values()],
            Sampling(count, temperature, stop),
        )
        for same, completions in zip(alike.values(), drawn, strict=True):
            for row, completion in zip(same, completions, strict=True):
                _follow(mdp, row, completion, stop)
        going = [row for row in active if not mdp.over(row.state)]
        progress(len(active) - len(going))
        active = going
    done = iter([_trajectory(mdp, row) for row in rows])
    return [[next(done) for _ in own] for own in seeds]


def _follow(mdp: ReasoningMDP, row: _Row, completion: Completion, stop: Sequence[int]) -> None:
    """Takes as much of a completion as the environment lets stand."""
    before, drawn = len(row.tokens), completion.tokens.tolist()
    for token, state in zip(drawn, mdp.path(row.state, drawn), strict=False):
        row.tokens.append(token)
        row.state = state
        if token in stop:
            break
    count = len(row.tokens) - before
    row.logprobs += completion.logprobs[:count].tolist()
    row.versions += completion.versions[:count].tolist()


def _trajectory(mdp: ReasoningMDP, row: _Row) -> Trajectory:
    tokens: IntArray = np.array(row.tokens, dtype=np.int64)
    logprobs = np.array(row.logprobs, dtype=np.float32)
    versions: IntArray = np.array(row.versions, dtype=np.int64)
    chosen = Completion(tokens, logprobs, "eos" if mdp.terminated(row.state) else "length", versions, row.seed)
    return mdp.trajectory(row.state.index, chosen, row.noise)
