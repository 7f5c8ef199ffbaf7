"""Rollouts in which the environment writes too: draw until it may answer, let it, go on from there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.state import State
from reasonenv.rollout.verification import Episode
from reasonenv.sampling.sampler import Sampler, Sampling
from reasonenv.sampling.session import Continuation
from reasonenv.seeding import derive_seed

REPLIES = 16  # that may be made at once, where they are slow


@dataclass
class _Progress:
    """Where an episode stands, and the moves, (before, after), that may have earned something on the way."""

    state: State
    moves: list[tuple[State, State]] = field(default_factory=list)


def converse(
    sampler: Sampler,
    mdp: ReasoningMDP,
    problems: Sequence[int],
    seeds: Sequence[Sequence[int]],
    sampling: Sampling,
    progress: Callable[[int], None] = lambda finished: None,
) -> list[Episode]:
    """One episode for each seed of each problem, in a stochastic process, to be verified.

    What a sampler drew behind a token that the environment answered is dropped: so one that draws ahead draws the same.
    """
    episodes: list[_Progress] = []
    numbers: dict[tuple[int, ...], int] = {}  # of the prompts
    jobs = []
    for index, samples in zip(problems, seeds, strict=True):
        for seed in samples:
            state = mdp.initial(index, noise=derive_seed(seed, "noise"))
            episodes.append(_Progress(state))
            jobs.append((numbers.setdefault(tuple(mdp.prompt(state).tolist()), len(numbers)), seed))
    patience = mdp.patience

    def reply(row: int, part: list[int]) -> Continuation:
        taken, written = _follow(mdp, episodes[row], part)
        state = episodes[row].state
        if mdp.over(state):
            return Continuation(keep=taken, over=True)
        limit = mdp.max_tokens - len(state.tokens)
        return Continuation(written, taken, min(limit, patience or limit))

    over: dict[int, Episode] = {}
    with contextlib.ExitStack() as stack:
        pool = None
        if mdp.slow:
            pool = ThreadPoolExecutor(REPLIES)
            stack.callback(pool.shutdown, cancel_futures=True)
        prompts = [np.array(prompt) for prompt in numbers]
        session = stack.enter_context(sampler.open(prompts, jobs, replace(sampling, stop=mdp.stop)))
        if patience and session.pauses_freely:
            patience = 1
        for row, completion in session.run(len(jobs), reply, pool):
            over[row] = partial(mdp.episode, episodes[row].moves, completion)
            progress(1)
    return [over[row] for row in range(len(jobs))]


def _follow(mdp: ReasoningMDP, episode: _Progress, part: Sequence[int]) -> tuple[int, Sequence[int]]:
    """How many tokens of a part the environment lets stand, and what it writes behind them."""
    start, taken = len(episode.state.tokens), 0
    if not part:
        return 0, episode.state.tokens
    for state in mdp.path(episode.state, part):
        taken += 1
        if mdp.over(state) or (mdp.pays_steps and mdp.is_event(episode.state, state)):
            episode.moves.append((episode.state, state))
        episode.state = state
    return taken, state.tokens[start + taken :]
