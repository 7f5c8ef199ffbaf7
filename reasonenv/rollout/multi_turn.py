"""Rollouts in which the environment writes too: draw until it may answer, let it, go on from there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import numpy as np

from reasonenv.core import Trajectory
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.state import State
from reasonenv.sampling.sampler import Sampler, Sampling
from reasonenv.sampling.session import Reply
from reasonenv.seeding import derive_seed

REPLIES = 16  # that may be made at once, where they are slow


def converse(
    sampler: Sampler,
    mdp: ReasoningMDP,
    problems: Sequence[int],
    seeds: Sequence[Sequence[int]],
    sampling: Sampling,
    progress: Callable[[int], None] = lambda finished: None,
) -> list[list[Trajectory]]:
    """One trajectory for each seed of each problem, in a stochastic process.

    What a sampler drew behind a token that the environment answered is dropped: so one that draws ahead draws the same.
    """
    states: list[State] = []  # in which the episodes are
    numbers: dict[tuple[int, ...], int] = {}  # of the prompts
    jobs = []
    for index, samples in zip(problems, seeds, strict=True):
        for seed in samples:
            state = mdp.initial(index, noise=derive_seed(seed, "noise"))
            states.append(state)
            jobs.append((numbers.setdefault(tuple(mdp.prompt(state).tolist()), len(numbers)), seed))
    patience = mdp.patience

    def reply(row: int, part: list[int]) -> Reply:
        before, taken = len(states[row].tokens), 0
        for state in mdp.path(states[row], part):
            states[row] = state
            taken += 1
        state = states[row]
        if mdp.over(state):
            return Reply(keep=taken, over=True)
        written = state.tokens[before + taken :] if part else state.tokens
        limit = mdp.max_tokens - len(state.tokens)
        return Reply(written, taken, min(limit, patience or limit))

    trajectories: dict[int, Trajectory] = {}
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
            state = states[row]
            trajectories[row] = mdp.trajectory(state.index, completion, state.noise, end=state)
            progress(1)
    in_order = map(trajectories.__getitem__, range(len(jobs)))
    return [list(islice(in_order, len(samples))) for samples in seeds]
