"""From problems to groups of verified trajectories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from reasonenv.core import Group
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.rollout.multi_turn import converse
from reasonenv.rollout.verification import Episode, verified
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
    top_k: int = 0,
    top_p: float = 1.0,
    progress: Callable[[int], None] = lambda finished: None,
) -> list[Group]:
    """`samples` verified trajectories of each problem. Sample j of problem i draws from (seed, i, j) alone.

    Where a problem stands in `problems` again, its k-th repetition draws from (seed, i, j, "again", k). So does the
    environment, where it is stochastic: siblings share the problem and not its noise.
    `top_k` and `top_p` are those of `Sampling`, for evaluation.
    """
    seeds = draw_seeds(problems, samples, seed)
    sampling = Sampling(mdp.max_tokens, temperature, top_k=top_k, top_p=top_p)
    episodes: list[Episode] = []
    if mdp.stochastic:
        episodes = converse(sampler, mdp, problems, seeds, sampling, progress)
    else:
        drawn = sampler.generate([mdp.prompts[i] for i in problems], seeds, sampling, progress)
        for i, completions in zip(problems, drawn, strict=True):
            episodes += [partial(mdp.trajectory, i, completion) for completion in completions]
    trajectories = iter(verified(mdp, episodes))
    return [Group(mdp.task.problems[i], tuple(islice(trajectories, samples))) for i in problems]


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
