"""What a policy says of tokens that it, or another one, has written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from reasonenv.core import Group, Trajectory
from reasonenv.learn.filters import correct
from reasonenv.measures.provenance import SolvedProblem
from reasonenv.policy.collate import collate
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.policy.policy import Policy


def token_scores(
    groups: Sequence[Group], policy: Policy, *, tokens_per_microbatch: int = TOKENS_PER_MICROBATCH
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies at temperature 1, a row a trajectory; log-probs are 0 but for chosen tokens.

    On the CPU.  # [B, T], [B, T]
    """
    batch = collate(groups, pad=policy.tokenizer.eos_id)
    logp, entropy = policy.score(batch, tokens_per_microbatch=tokens_per_microbatch)
    return logp * batch.mask, entropy


def wins(
    groups: Sequence[Group], initial: Policy, *, tokens_per_microbatch: int = TOKENS_PER_MICROBATCH
) -> list[SolvedProblem]:
    """One `SolvedProblem` for each group with a correct trajectory; the samples were drawn at temperature 1."""
    best = [max(right, key=_likelihood) for g in groups if (right := correct(g.trajectories))]
    if not best:
        return []
    alone = [Group(t.problem, (t,)) for t in best]
    logp, _ = token_scores(alone, initial, tokens_per_microbatch=tokens_per_microbatch)
    before = logp.sum(dim=1).tolist()
    return [
        SolvedProblem(t.problem.id, len(t.tokens), _likelihood(t), known) for t, known in zip(best, before, strict=True)
    ]


def _likelihood(t: Trajectory) -> float:
    return float(t.logprobs.sum(dtype=np.float64))
