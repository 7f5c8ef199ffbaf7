"""Some rollouts of a run, token by token, for a person to look at: see `measures.rollouts`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from reasonenv.core import Group, Role, Trajectory
from reasonenv.experiment.scoring import token_scores
from reasonenv.learn.agent import Budget
from reasonenv.learn.filters import mixed
from reasonenv.measures.parquet import write_records
from reasonenv.measures.rollouts import TRAINING, TRAINING_GROUPS, TRAINING_SAMPLES, Rollout
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.policy.policy import Policy
from reasonenv.tokenizer import Tokenizer


def rollouts(
    groups: Sequence[Group],
    policy: Policy,
    *,
    source: str,
    advantages: Sequence[Sequence[float]] | None = None,
    tokens_per_microbatch: int = TOKENS_PER_MICROBATCH,
) -> list[Rollout]:
    """The trajectories as they are stored; `advantages`, if given, has a row for each of them."""
    rows = [(i, t) for group in groups for i, t in enumerate(group.trajectories)]
    if not rows:
        return []
    entropies: Sequence[tuple[float, ...] | None] = [None] * len(rows)
    logps = [_own(t, t.logprobs.tolist()) for _, t in rows]
    if policy.goals is None:
        scored = token_scores(groups, policy, tokens_per_microbatch=tokens_per_microbatch)  # [B, T] each
        logps, entropies = ([_own(t, x) for (_, t), x in zip(rows, found.tolist(), strict=True)] for found in scored)
    return [
        Rollout(
            source=source,
            problem_id=t.problem.id,
            question=t.problem.question,
            gold=t.problem.answer,
            index=index,
            correct=t.verdict.correct,
            reason=str(t.verdict.reason),
            extracted=t.verdict.extracted,
            truncated=t.truncated,
            tokens=pieces(policy.tokenizer, t.tokens.tolist()),
            rewards=_own(t, t.rewards.tolist()),
            logps=logps[row],
            entropies=entropies[row],
            advantages=None if advantages is None else _own(t, advantages[row]),
        )
        for row, (index, t) in enumerate(rows)
    ]


def _own(t: Trajectory, values: Sequence[float]) -> tuple[float, ...]:
    return tuple(v if role == Role.POLICY else math.nan for v, role in zip(values, t.roles, strict=False))


class Watch:
    """Keeps some rollouts of the iterations before an evaluation, as an agent learns from them."""

    def __init__(
        self, out: Path, policy: Policy, *, every: int, tokens_per_microbatch: int = TOKENS_PER_MICROBATCH
    ) -> None:
        self._path, self._policy, self._every = out / TRAINING, policy, every
        self._tokens = tokens_per_microbatch

    def __call__(self, budget: Budget, groups: Sequence[Group], advantage: Tensor) -> None:
        """`advantage` [B, T] or [B, 1] has the rows of `groups`; the policy has not changed since they were drawn."""
        done = budget.iteration + 1
        if done % self._every and done != budget.iterations:
            return
        telling = {id(group) for group in mixed(groups)}
        chosen = sorted(range(len(groups)), key=lambda i: id(groups[i]) not in telling)[:TRAINING_GROUPS]
        starts = [sum(len(g.trajectories) for g in groups[:i]) for i in chosen]
        some = [Group(groups[i].problem, groups[i].trajectories[:TRAINING_SAMPLES]) for i in chosen]
        rows = [start + i for start, g in zip(starts, some, strict=True) for i in range(len(g.trajectories))]
        width = max(len(t.tokens) for g in some for t in g.trajectories)
        given = advantage[rows].expand(-1, width if advantage.shape[1] == 1 else -1).tolist()
        kept = rollouts(some, self._policy, source="training", advantages=given, tokens_per_microbatch=self._tokens)
        write_records(self._path, Rollout, kept)


def pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[str, ...]:
    """The text that each token adds to those before it; a character of several tokens is the last one's.  # [T]"""
    found, start = [], 0
    for end in range(1, len(ids) + 1):
        before = ids[max(start - 1, 0) : start]  # what a token looks like may depend on its neighbour
        text = tokenizer.decode([*before, *ids[start:end]])[len(tokenizer.decode(before)) :]
        if text.endswith("\ufffd") and end < len(ids) and end - start < 4:  # no character has more than four bytes
            found.append("")
        else:
            found.append(text)
            start = end
    return tuple(found)
