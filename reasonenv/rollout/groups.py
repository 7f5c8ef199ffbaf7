"""From problems to groups of trajectories, and from groups to one batch of tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from reasonenv.core import Batch, Group, Trajectory
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
    environment, where it has dynamics: siblings share the problem and not its noise.
    """
    seeds = draw_seeds(problems, samples, seed)
    if mdp.dynamics is not None:
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


def collate(groups: Sequence[Group], *, pad: int) -> Batch:
    """All trajectories of the groups as one batch on the CPU, rows in their order. `pad` only fills space."""
    rows = [t for g in groups for t in g.trajectories]
    label = [i for i, g in enumerate(groups) for _ in g.trajectories]
    prompt_length = torch.tensor([len(t.prompt) for t in rows])
    length = torch.tensor([len(t.tokens) for t in rows])
    left, width = int(prompt_length.max()), int(length.max())
    tokens = torch.full((len(rows), left + width), pad)  # [B, L]
    for row, t in enumerate(rows):
        tokens[row, left - len(t.prompt) : left] = torch.from_numpy(t.prompt)
        tokens[row, left : left + len(t.tokens)] = torch.from_numpy(t.tokens)

    def padded(values: Callable[[Trajectory], object]) -> Tensor:
        out = torch.zeros(len(rows), width)  # [B, T]
        for row, t in enumerate(rows):
            out[row, : len(t.tokens)] = torch.from_numpy(np.asarray(values(t), dtype=np.float32))
        return out

    sampled = padded(lambda t: t.logprobs)
    discount, ends = torch.ones_like(sampled), torch.zeros_like(sampled)
    for row, t in enumerate(rows):
        ends[row, torch.from_numpy(t.ends)] = 1.0
        if t.terminated:
            discount[row, len(t.tokens) - 1] = 0.0
    return Batch(
        tokens=tokens,
        prompt_length=prompt_length,
        length=length,
        mask=padded(lambda t: t.roles),
        sampled_logp=sampled,
        old_logp=sampled,
        rewards=padded(lambda t: t.rewards),
        discount=discount,
        group=torch.tensor(label),
        versions=padded(lambda t: t.versions).long(),
        ends=ends,
    )
