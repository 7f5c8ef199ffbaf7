"""A batch is verified by several threads at once, and nothing else about it changes."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from reasonenv.codec import ARRAYS, encode
from reasonenv.core import Completion, Problem, Reason, Trajectory, Verdict
from reasonenv.errors import UserError
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.policy import Policy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.rollout.groups import sample_groups
from reasonenv.rollout.verification import Episode, verified
from reasonenv.sampling import make_sampler
from reasonenv.sources import PACKAGE
from reasonenv.tasks import reference_solution
from reasonenv.verify.pool import shared

PATIENCE = 60.0  # seconds


def laconic() -> Policy:
    """A policy that ends its turn at once, so that all of its answers are verified."""
    policy = tiny_policy(0)
    head = torch.nn.Linear(128, policy.tokenizer.vocab_size)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()[policy.tokenizer.eos_id] = 100.0
    policy.model.set_output_embeddings(head)
    return policy


def solutions(mdp: ReasoningMDP, count: int) -> list[Episode]:
    """Every second one right."""
    rows: list[Episode] = []
    for i in range(count):
        text = reference_solution(mdp.problems[i]) + ("" if i % 2 == 0 else "1")
        tokens = np.array([*mdp.tokenizer.encode(text), mdp.end_id], dtype=np.int64)
        rows.append(partial(mdp.trajectory, i, Completion.unsampled(tokens, "eos"), noise=i))
    return rows


def same(one: Trajectory, other: Trajectory) -> bool:
    arrays = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)
    return arrays and encode(one) == encode(other)


@pytest.mark.parametrize("spec", [None, "hint:0.5", "sticky:0.2"])
def test_trajectories_are_those_of_one_row_after_another(spec: str | None) -> None:
    mdp = make_mdp("Chain", size=64, stochastic=spec, reward="dense", max_tokens=400)
    rows = solutions(mdp, 64)
    alone = [episode() for episode in rows]
    assert len({t.verdict.reason for t in alone}) > 1
    assert all(same(a, b) for a, b in zip(alone, verified(mdp, rows), strict=True))


@pytest.mark.parametrize("spec", [None, "reword:0.5"])
def test_as_many_verdicts_are_waited_for_at_once_as_the_pool_has_workers(spec: str | None) -> None:
    workers = shared().workers
    barrier = threading.Barrier(workers)  # nobody passes it before all of them are there

    def verify(text: str, problem: Problem) -> Verdict:
        barrier.wait(PATIENCE)
        return Verdict(Reason.CORRECT, text, problem.answer)

    verify.__module__ = PACKAGE  # as if it came with the package
    mdp = make_mdp("Chain", size=2, stochastic=spec)
    mdp.task = replace(mdp.task, verify=verify)
    sampler = make_sampler("torch", laconic())
    groups = sample_groups(sampler, mdp, [0, 1], workers, temperature=1.0, seed=(0,))
    assert [[t.verdict.correct for t in g.trajectories] for g in groups] == [[True] * workers] * 2


def test_a_users_verifier_is_called_in_the_main_thread_where_its_time_is_limited() -> None:
    threads = set()

    def verify(text: str, problem: Problem) -> bool:
        threads.add(threading.current_thread())
        return True

    mdp = make_mdp("Chain", size=8)
    mdp.task = replace(mdp.task, verify=verify)
    assert all(t.verdict.correct for t in verified(mdp, solutions(mdp, 8)))
    assert threads == {threading.main_thread()}


def test_the_error_is_that_of_the_first_row_and_nothing_is_begun_after_it() -> None:
    def verify(text: str, problem: Problem) -> Verdict:
        raise UserError(f"no verdict on {problem.id}")

    mdp = make_mdp("Chain", size=512)
    mdp.task = replace(mdp.task, verify=verify)
    with pytest.raises(UserError, match=f"^no verdict on {mdp.problems[0].id}$"):
        verified(mdp, solutions(mdp, 512))


def test_a_group_stays_together() -> None:
    mdp = make_mdp("Chain", size=3)
    groups = sample_groups(make_sampler("torch", laconic()), mdp, [2, 0, 2], 4, temperature=1.0, seed=(0,))
    ids = [[t.problem.id for t in g.trajectories] for g in groups]
    assert ids == [[g.problem.id] * 4 for g in groups]
    assert [g.problem.id for g in groups] == [mdp.problems[i].id for i in (2, 0, 2)]
