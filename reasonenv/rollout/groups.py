"""From problems to groups of verified trajectories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from reasonenv.core import Group
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.rollout.multi_turn import converse
from reasonenv.sampling.sampler import Sampler, Sampling
from reasonenv.seeding import derive_seed


def sample_groups(
    sampler: Sampler,
    mdp: ReasoningMDP,
    problems: Sequence[int],
    samples: int,
    *,
    temperature: float,
    seed: tuple[int | str, ...],
    progress: Callable[[int], None] = lambda finished: None,
) -> list[Group]:
    """`samples` verified trajectories of each problem. Sample j of problem i draws from (seed, i, j) alone.

    Where a problem stands in `problems` again, its k-th repetition draws from (seed, i, j, "again", k). So does the
    environment, where it is stochastic: siblings share the problem and not its noise.
    """
    seeds = draw_seeds(problems, samples, seed)
    if mdp.stochastic:
        episodes = converse(sampler, mdp, problems, seeds, temperature=temperature, progress=progress)
        return [Group(mdp.task.problems[i], tuple(own)) for i, own in zip(problems, episodes, strict=True)]
    sampling = Sampling(max_tokens=mdp.max_tokens, temperature=temperature)
    rows = sampler.generate([mdp.prompts[i] for i in problems], seeds, sampling, progress)
    return [
        Group(mdp.task.problems[i], tuple(mdp.trajectory(i, completion) for completion in row))
        for i, row in zip(problems, rows, strict=True)
    ]


def draw_seeds(problems: Sequence[int], samples: int, path: tuple[int | str, ...]) -> list[list[int]]:
    """A seed for every sample of every problem, no two alike: a problem met again is drawn anew.  # [N][G]"""
    met: Counter[int] = Counter()
    seeds = []
    for i in problems:
        again = ("again", met[i]) if met[i] else ()
        seeds.append([derive_seed(*path, i, j, *again) for j in range(samples)])
        met[i] += 1
    return seeds


def demonstrate(mdp: ReasoningMDP, problems: Sequence[int]) -> list[Group]:
    """The reference solution of each problem, as a group of one."""
    return [Group(mdp.task.problems[i], (mdp.demonstration(i),)) for i in problems]
