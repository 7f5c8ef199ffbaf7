"""Some rollouts of a run, token by token, for a person to read: see `measures.rollouts`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from torch import Tensor

from reasonenv.core import Group, Role, Trajectory
from reasonenv.experiment.scoring import token_scores
from reasonenv.learn.agent import Budget
from reasonenv.learn.filters import nonconstant
from reasonenv.learn.observer import Observer
from reasonenv.measures.parquet import write_records
from reasonenv.measures.rollouts import TRAINING, TRAINING_GROUPS, TRAINING_SAMPLES, Rollout
from reasonenv.policy.goals import Goals
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.policy.policy import Policy
from reasonenv.tokenizer import Tokenizer


def rollouts(
    groups: Sequence[Group],
    policy: Policy,
    *,
    source: str,
    goals: Goals | None = None,
    advantages: Sequence[Sequence[float]] | None = None,
    tokens_per_microbatch: int = TOKENS_PER_MICROBATCH,
) -> list[Rollout]:
    """The trajectories as they are stored; `advantages` has a row for each of them.

    Of a policy that was conditioned on `goals` the log-probs are those of the sampler, and there are no entropies.
    """
    rows = [(index, t) for group in groups for index, t in enumerate(group.trajectories)]
    if not rows:
        return []
    logps: Sequence[Sequence[float]] = [t.logprobs.tolist() for _, t in rows]
    entropies: Sequence[Sequence[float]] | None = None
    if goals is None:
        scores = token_scores(groups, policy, tokens_per_microbatch=tokens_per_microbatch)  # [B, T] each
        logps, entropies = scores[0].tolist(), scores[1].tolist()
    records = []
    for row, (index, t) in enumerate(rows):
        record = Rollout(
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
            rewards=_chosen(t, t.rewards.tolist()),
            logps=_chosen(t, logps[row]),
            entropies=_chosen(t, entropies[row]) if entropies else None,
            advantages=_chosen(t, advantages[row]) if advantages else None,
        )
        records.append(record)
    return records


def _chosen(t: Trajectory, values: Sequence[float]) -> tuple[float, ...]:
    """The values of the tokens that the policy chose, and nan for the others.  # [T]"""
    return tuple(v if role == Role.POLICY else math.nan for v, role in zip(values, t.roles, strict=False))


class RolloutRecorder(Observer):
    """Stores some rollouts of the iterations before an evaluation, as an agent learns from them."""

    def __init__(self, out: Path, policy: Policy, *, interval: int, tokens_per_microbatch: int) -> None:
        self._path, self._policy, self._interval = out / TRAINING, policy, interval
        self._tokens = tokens_per_microbatch

    def update(self, budget: Budget, groups: Sequence[Group], advantage: Tensor) -> None:
        """`advantage` [B, T] or [B, 1] has the rows of `groups`; the policy has not changed since they were drawn."""
        done = budget.iteration + 1
        if done % self._interval and done != budget.iterations:
            return
        teaching = {id(group) for group in nonconstant(groups)}
        chosen = sorted(range(len(groups)), key=lambda i: id(groups[i]) not in teaching)[:TRAINING_GROUPS]
        starts = list(accumulate((len(g.trajectories) for g in groups), initial=0))
        some: list[Group] = []
        rows: list[int] = []
        for i in chosen:
            trajectories = groups[i].trajectories[:TRAINING_SAMPLES]
            some.append(Group(groups[i].problem, trajectories))
            rows += range(starts[i], starts[i] + len(trajectories))
        width = max(len(t.tokens) for g in some for t in g.trajectories)
        values = advantage[rows].expand(-1, width if advantage.shape[1] == 1 else -1).tolist()
        records = rollouts(some, self._policy, source="training", advantages=values, tokens_per_microbatch=self._tokens)
        write_records(self._path, Rollout, records)


def pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[str, ...]:
    """The text that each token adds to those before it; a character of several tokens is the last one's.  # [T]"""
    texts, start = [], 0
    for end in range(1, len(ids) + 1):
        before = ids[max(start - 1, 0) : start]  # what a token looks like may depend on its neighbour
        text = tokenizer.decode([*before, *ids[start:end]])[len(tokenizer.decode(before)) :]
        if text.endswith("\ufffd") and end < len(ids) and end - start < 4:  # no character has more than four bytes
            texts.append("")
        else:
            texts.append(text)
            start = end
    return tuple(texts)
