"""Return-conditioned RL: learn from good and bad samples alike which is which, then ask for the good.

    pi_n = argmin_theta  - sum_(Q, S in D_n) sum_s log pi_theta(S_s | Q, g_1, S_1, ..., g_(s-1), S_(s-1), g_s)

S_s is step s and g_s its goal, `good` or `bad`, put before it. By outcome all goals of a solution are good if its
answer is correct; by an outcome reward model g_s is good if it gives the steps up to s more than 0.5. Goals are input:
no loss falls on them. When the policy samples and answers, `good` is put before every step.

Source: 2403.04642 (after Decision Transformer, 2106.01345). Rounds, deduplication and the start from the initial
policy are those of Expert Iteration. Differences: the paper's samples are those of finished EI policies, these are its
own; the first round, before any goal has been learned, samples without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from reasonenv.core import BoolArray, Group, Role, Trajectory
from reasonenv.errors import UserError
from reasonenv.learn.agent import Budget, Metrics
from reasonenv.learn.judge import score_steps
from reasonenv.learn.observer import SILENT, Observer
from reasonenv.learn.rounds import Rounds, RoundsConfig
from reasonenv.policy.goals import Goals
from reasonenv.policy.policy import Policy
from reasonenv.policy.value_head import load_scorer
from reasonenv.settings import record, setting


@record
class RCRLConfig(RoundsConfig):
    """The hyper-parameters of SFT, and what is said of the samples."""

    labels: str = setting("outcome", "what a step is labelled by: outcome, or the folder of a trained orm")
    bad_per_good: float | None = setting(1.0, "bad solutions a good one in an epoch, drawn anew (none: all)", ge=0)
    good: str = setting("[GOOD]", "the goal of a good step; one token for an untrained model (paper: [GOOD])")
    bad: str = setting("[BAD]", "the goal of a bad step (paper: [BAD])")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.good or not self.bad or self.good == self.bad:
            raise UserError(f"good is {self.good!r} and bad is {self.bad!r}; they must be two different texts")


class ReturnConditioned(Rounds):
    """Imitates all its samples, each step behind a goal, and is asked for the good one. 2403.04642."""

    Config = RCRLConfig
    config: RCRLConfig
    conditions = True

    def __init__(self, policy: Policy, config: RCRLConfig | None = None, *, seed: int = 0) -> None:
        super().__init__(policy, config, seed=seed)
        labels = self.config.labels
        self.scorer = None if labels == "outcome" else load_scorer(labels, policy)
        self.initial_goals, self.learned_goals = policy.goals, Goals(self.config.good, self.config.bad)
        self.good, self.bad = (policy.tokenizer.encode(text) for text in (self.config.good, self.config.bad))

    def keeps(self, trajectory: Trajectory) -> bool:
        return trajectory.verdict.checked

    def lessons(self, solutions: Sequence[Trajectory], draws: Sequence[np.random.Generator]) -> list[list[Trajectory]]:
        labels = self.labels(solutions)
        good = [i for i, label in enumerate(labels) if label[-1]]
        bad = [i for i, label in enumerate(labels) if not label[-1]]
        if not good:
            return []  # the policy would be conditioned on a goal that it has never seen
        ratio = self.config.bad_per_good
        count = len(bad) if ratio is None else min(len(bad), round(ratio * len(good)))
        ready = []
        for t, label in zip(solutions, labels, strict=True):
            ready.append(conditioned(t, [self.good if step else self.bad for step in label]))
        epochs = []
        for draw in draws:
            chosen = draw.permutation([*good, *draw.choice(bad, count, replace=False)])
            epoch = [ready[int(i)] for i in chosen]
            epochs.append([t for t in epoch if len(t.prompt) + len(t.tokens) <= self.policy.context])
        return epochs

    def labels(self, solutions: Sequence[Trajectory]) -> list[BoolArray]:
        """Whether each step of each solution is good.  # [S] each"""
        if self.scorer is None:
            return [np.full(len(t.ends), t.verdict.correct) for t in solutions]
        size = self.config.tokens_per_microbatch
        return [scores > 0.5 for scores in score_steps(self.scorer, solutions, tokens_per_microbatch=size)]

    def learn(self, groups: Sequence[Group], budget: Budget, observer: Observer = SILENT) -> Metrics:
        metrics = super().learn(groups, budget, observer)
        if metrics["updates"]:
            self.goals = self.learned_goals
        return metrics

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | {"conditioned": torch.tensor([self.goals is self.learned_goals])}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        super().load_state_dict(state)
        self.goals = self.learned_goals if bool(state["conditioned"]) else self.initial_goals


def conditioned(trajectory: Trajectory, goals: Sequence[Sequence[int]]) -> Trajectory:
    """The trajectory with `goals[s]` before step s, as tokens that the environment wrote: no loss falls on them."""
    t, lengths = trajectory, [len(goal) for goal in goals]
    starts = np.repeat([0, *(t.ends[:-1] + 1)], lengths)
    return replace(
        t,
        tokens=np.insert(t.tokens, starts, [i for goal in goals for i in goal]),
        roles=np.insert(t.roles, starts, Role.ENVIRONMENT),
        logprobs=np.insert(t.logprobs, starts, 0.0),
        versions=np.insert(t.versions, starts, t.versions[starts]),
        rewards=np.insert(t.rewards, starts, 0.0),
        ends=t.ends + np.cumsum(lengths),
    )
