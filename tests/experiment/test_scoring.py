"""Whoever scores tokens keeps to the micro-batches that the user allows, and scores the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reasonenv.core import Batch, Completion, Group
from reasonenv.experiment.scoring import solved_problems, token_scores
from reasonenv.experiment.token_records import rollouts
from reasonenv.learn.judge import rewarded_by, score_steps
from reasonenv.mdp.make import make_mdp
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.microbatch import passed
from reasonenv.policy.tiny import tiny_policy
from reasonenv.policy.value_head import Scorer

LIMIT = 64  # tokens; a problem with its solution has fewer, two of them more


class Counting(HFPolicy):
    """Keeps how many tokens passed at once."""

    largest = 0

    def states(self, batch: Batch):
        self.largest = max(self.largest, passed(batch, shared=self.shared))
        return super().states(batch)


@pytest.fixture
def policy() -> Counting:
    policy = tiny_policy(0)
    policy.__class__ = Counting
    return policy


@pytest.fixture
def groups() -> list[Group]:
    mdp = make_mdp("Chain", size=8, operands=3)
    found = []
    for i in range(8):
        whole = Completion.unsampled(mdp.demonstration(i).tokens, "eos")
        found.append(Group(mdp.task.problems[i], (mdp.trajectory(i, whole),)))
    assert max(len(t.prompt) + len(t.tokens) for g in found for t in g.trajectories) <= LIMIT
    return found


@pytest.mark.parametrize("tokens", [LIMIT, 8192])
def test_a_reward_model_scores_in_the_micro_batches_allowed(policy: Counting, groups: list[Group], tokens: int) -> None:
    scorer = Scorer(policy)
    torch.nn.init.constant_(scorer.head.weight, 0.1)
    rows = [t for g in groups for t in g.trajectories]
    every = score_steps(scorer, rows)
    assert policy.largest > LIMIT
    policy.largest = 0
    found = score_steps(scorer, rows, tokens_per_microbatch=tokens)
    paid = rewarded_by(scorer, groups, placement="sparse", tokens_per_microbatch=tokens)
    assert (policy.largest <= LIMIT) == (tokens == LIMIT)
    for one, other, group in zip(found, every, paid, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
        assert group.trajectories[0].ret == pytest.approx(float(other[-1]), abs=1e-5)


def test_wins_and_kept_rollouts_pass_in_the_micro_batches_allowed(policy: Counting, groups: list[Group]) -> None:
    whole, _ = token_scores(groups, policy, tokens_per_microbatch=8192)
    assert policy.largest > LIMIT
    policy.largest = 0
    kept = rollouts(groups, policy, source="training", tokens_per_microbatch=LIMIT)
    known = solved_problems(groups, policy, tokens_per_microbatch=LIMIT)
    assert 0 < policy.largest <= LIMIT
    assert [sum(r.logps) for r in kept] == pytest.approx(whole.sum(dim=1).tolist(), abs=1e-3)
    assert [win.initial_logp for win in known] == pytest.approx(whole.sum(dim=1).tolist(), abs=1e-3)
