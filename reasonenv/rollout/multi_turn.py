"""Rollouts in which the environment writes too: draw until it may answer, let it, go on from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal

import numpy as np

from reasonenv.core import Completion, IntArray, Trajectory
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.state import State
from reasonenv.sampling.sampler import Sampler, Sampling, continuations
from reasonenv.seeding import derive_seed


@dataclass
class _Episode:
    """Where an episode stands, and what the policy chose in it."""

    seed: int
    noise: int
    state: State
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    selected: bool = False

    def turn_seed(self) -> int:
        """The seed of the draws from here on. The first turn has that of the sample, as if there were no other."""
        return derive_seed(self.seed, "turn", len(self.tokens)) if self.tokens else self.seed


def converse(
    sampler: Sampler,
    mdp: ReasoningMDP,
    problems: Sequence[int],
    seeds: Sequence[Sequence[int]],
    sampling: Sampling,
    progress: Callable[[int], None] = lambda finished: None,
) -> list[list[Trajectory]]:
    """One trajectory for each seed of each problem, in a stochastic process.

    All episodes go on together, turn by turn, each from its history. What one drew behind a stop token, or behind one
    that the environment answered, is dropped: so a sampler that does not stop there draws the same.
    """
    groups: list[list[_Episode]] = []
    for index, row in zip(problems, seeds, strict=True):
        groups.append([])
        for seed in row:
            noise = derive_seed(seed, "noise")
            groups[-1].append(_Episode(seed, noise, mdp.initial(index, noise=noise)))
    active = list(chain.from_iterable(groups))
    while active:
        _draw_turn(sampler, mdp, active, sampling)
        remaining = [episode for episode in active if not mdp.over(episode.state)]
        progress(len(active) - len(remaining))
        active = remaining
    trajectories = []
    for group in groups:
        trajectories.append([_trajectory(mdp, episode) for episode in group])
    return trajectories


def _draw_turn(sampler: Sampler, mdp: ReasoningMDP, episodes: Sequence[_Episode], sampling: Sampling) -> None:
    """One more turn of every episode."""
    stop, patience = tuple[int, ...](), None
    if mdp.dynamics is not None:
        stop, patience = mdp.dynamics.stop, mdp.dynamics.patience
    histories, shortest, longest = [], mdp.max_tokens, 0  # of the responses, and of the histories
    for episode in episodes:
        history = (*mdp.prompt(episode.state).tolist(), *episode.state.tokens)
        histories.append((history, episode.turn_seed()))
        shortest, longest = min(shortest, len(episode.state.tokens)), max(longest, len(history))
    budget = mdp.max_tokens - shortest
    count = min(budget, mdp.context - longest, patience or budget)
    drawn = continuations(sampler, histories, replace(sampling, max_tokens=count, stop=stop))
    for episode, completion in zip(episodes, drawn, strict=True):
        _follow(mdp, episode, completion, stop)


def _follow(mdp: ReasoningMDP, episode: _Episode, completion: Completion, stop: Sequence[int]) -> None:
    """Takes as much of a completion as the environment lets stand."""
    before, drawn = len(episode.tokens), completion.tokens.tolist()
    for token, state in zip(drawn, mdp.path(episode.state, drawn), strict=False):
        episode.tokens.append(token)
        episode.state = state
        if token in stop:
            break
    count = len(episode.tokens) - before
    episode.logprobs += completion.logprobs[:count].tolist()
    episode.versions += completion.versions[:count].tolist()
    episode.selected |= completion.selected


def _trajectory(mdp: ReasoningMDP, episode: _Episode) -> Trajectory:
    tokens: IntArray = np.array(episode.tokens, dtype=np.int64)
    logprobs = np.array(episode.logprobs, dtype=np.float32)
    versions: IntArray = np.array(episode.versions, dtype=np.int64)
    stop: Literal["eos", "length"] = "eos" if mdp.terminated(episode.state) else "length"
    chosen = Completion(tokens, logprobs, stop, versions, episode.seed, episode.selected)
    return mdp.trajectory(episode.state.index, chosen, episode.noise)
