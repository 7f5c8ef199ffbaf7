"""Log-probabilities of trajectories under a policy that has written them, or another one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reasonenv.core import Group, Trajectory
from reasonenv.learn.filters import correct
from reasonenv.measures.provenance import SolvedProblem
from reasonenv.policy.collate import collate
from reasonenv.policy.policy import Policy

INITIAL_SAMPLES = 4  # a problem, which suffice for a mean over many problems


def token_scores(groups: Sequence[Group], policy: Policy, *, tokens_per_microbatch: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies at temperature 1, a row a trajectory; log-probs are 0 but for chosen tokens.

    On the CPU.  # [B, T], [B, T]
    """
    batch = collate(groups, pad=policy.tokenizer.eos_id)
    logp, entropy = policy.score(batch, tokens_per_microbatch=tokens_per_microbatch)
    return logp * batch.mask, entropy


def initial_logps(groups: Sequence[Group], initial: Policy, *, tokens_per_microbatch: int) -> list[float | None]:
    """The log-probability of each sample under the `initial` policy; None but for the first of each problem."""
    first = [Group(g.problem, g.trajectories[:INITIAL_SAMPLES]) for g in groups]
    logp, _ = token_scores(first, initial, tokens_per_microbatch=tokens_per_microbatch)
    sums = iter(logp.sum(dim=1, dtype=torch.float64).tolist())
    logps: list[float | None] = []
    for group in groups:
        logps += [next(sums) if index < INITIAL_SAMPLES else None for index in range(len(group.trajectories))]
    return logps


def solved_problems(groups: Sequence[Group], initial: Policy, *, tokens_per_microbatch: int) -> list[SolvedProblem]:
    """One `SolvedProblem` for each group with a correct trajectory; the samples were drawn at temperature 1."""
    best = []
    for group in groups:
        right = correct(group.trajectories)
        if right:
            best.append(max(right, key=_likelihood))
    if not best:
        return []
    alone = [Group(t.problem, (t,)) for t in best]
    logp, _ = token_scores(alone, initial, tokens_per_microbatch=tokens_per_microbatch)
    initial_logp = logp.sum(dim=1).tolist()
    return [
        SolvedProblem(t.problem.id, len(t.tokens), _likelihood(t), x) for t, x in zip(best, initial_logp, strict=True)
    ]


def _likelihood(t: Trajectory) -> float:
    return float(t.logprobs.sum(dtype=np.float64))
