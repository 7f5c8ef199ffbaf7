"""Rollouts in stochastic processes: what a sampler draws is what the single environment does, and is trained on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import reasonenv
from reasonenv.agents.grpo import GRPO, GRPOConfig
from reasonenv.core import Batch, Completion, Group, Problem, Reason, Role, Trajectory, Verdict
from reasonenv.learn.curriculum import Curriculum
from reasonenv.learn.loop import Loop
from reasonenv.mdp.dynamics import Dynamics, View
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.policy import Policy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.rollout.groups import sample_groups
from reasonenv.sampling import make_sampler
from reasonenv.testing import gradients, scored


def arithmetical() -> Policy:
    """A policy that likes digits, operators and line ends, so that it calculates, errs and stops again and again."""
    policy = tiny_policy(0)
    head = torch.nn.Linear(128, policy.tokenizer.vocab_size)
    liked = [*policy.tokenizer.encode("0123456789++--==#\n"), policy.tokenizer.eos_id]
    with torch.no_grad():
        head.weight.copy_(0.5 * policy.head.weight)
        head.bias.fill_(-6.0)[liked] = 0.0
    policy.model.set_output_embeddings(head)
    return policy


@pytest.fixture(scope="module")
def policy() -> Policy:
    return arithmetical()


def rollouts(policy: Policy, mdp: ReasoningMDP, sampler: str = "torch") -> list[Group]:
    return sample_groups(make_sampler(sampler, policy), mdp, [0, 3, 0], 4, temperature=1.0, seed=(7,))


def episodes(groups: list[Group]) -> list[Trajectory]:
    return list(chain.from_iterable(g.trajectories for g in groups))


@pytest.mark.parametrize("spec", ["sticky:0.2", "calculator:0.3", "hint:0.5", "retry:3", "reword:0.5", "interrupt:9"])
def test_what_is_drawn_replays_token_by_token(policy: Policy, spec: str) -> None:
    mdp = make_mdp("Chain", size=8, seed=0, stochastic=spec, max_tokens=90)
    groups = rollouts(policy, mdp)
    drawn = episodes(groups)
    for trajectory in drawn:
        reasonenv.replay(trajectory, ReasoningEnv(mdp, "token"))
    written = [t for t in drawn if (t.roles == Role.ENVIRONMENT).any()]
    assert written or spec == "reword:0.5"
    assert len({t.noise for t in drawn}) == 12  # siblings differ, and so does a problem asked again from its first time
    # the sampler's log-probs are the trainer's, and 0 where the environment wrote
    for ours, theirs in zip(drawn, episodes(scored(policy, groups)), strict=True):
        assert np.abs(ours.logprobs - theirs.logprobs).max() < 1e-4
    # a sampler that does not stop where the environment writes draws the same
    for ours, theirs in zip(drawn, episodes(rollouts(policy, mdp, "hf")), strict=True):
        assert ours.tokens.tolist() == theirs.tokens.tolist()


@pytest.mark.parametrize("spec", ["sticky:0", "reword:0", "retry:1"])
def test_without_chance_it_is_the_deterministic_process(policy: Policy, spec: str) -> None:
    plain, still = (make_mdp("Chain", size=8, max_tokens=24, stochastic=s) for s in (None, spec))
    for one, two in zip(*(episodes(rollouts(policy, mdp)) for mdp in (plain, still)), strict=True):
        for name in ("prompt", "tokens", "roles", "rewards", "ends", "versions"):
            assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
        # a problem asked again shares its prompt with the first time: the same sums in another order
        np.testing.assert_allclose(one.logprobs, two.logprobs, rtol=0, atol=1e-5)
        assert (one.terminated, one.truncated, one.verdict) == (two.terminated, two.truncated, two.verdict)


@pytest.mark.parametrize("reward", ["sparse", "dense"])
@pytest.mark.parametrize("spec", ["sticky:0.2", "calculator:0.3", "hint:0.5", "retry:3", "reword:0.5"])
def test_a_trajectory_is_that_of_its_completion(policy: Policy, spec: str, reward: str) -> None:
    # what is made of the last state alone is what stepping through the policy's tokens makes
    mdp = make_mdp("Chain", size=8, stochastic=spec, reward=reward, max_tokens=90)
    for t in episodes(rollouts(policy, mdp)):
        chosen = t.roles == Role.POLICY
        whole = Completion(t.tokens[chosen], t.logprobs[chosen], "eos", t.versions[chosen], 0)
        index = mdp.problems.index(t.problem)
        again = mdp.trajectory(index, whole, t.noise)
        for entry in fields(t):
            np.testing.assert_equal(getattr(again, entry.name), getattr(t, entry.name))


@pytest.mark.parametrize("name", ["torch", "hf"])
def test_what_a_sample_is_depends_on_no_other(policy: Policy, name: str) -> None:
    mdp = make_mdp("Chain", size=8, seed=0, stochastic="sticky:0.2", max_tokens=40)
    together = rollouts(policy, mdp, name)
    sampler = make_sampler(name, policy)
    (alone,) = sample_groups(sampler, mdp, [3], 1, temperature=1.0, seed=(7,))
    assert together[1].trajectories[0].tokens.tolist() == alone.trajectories[0].tokens.tolist()


class Slow(Dynamics):
    """Answers a row's first `=` after all rows that wrote none have ended."""

    meaning = "nothing"
    slow = True
    others_ended = threading.Event()

    def prepare(self) -> None:
        self.stop = tuple(self.tokenizer.encode("="))

    def reply(self, view: View) -> Sequence[int]:
        if view.state.written or not view.state.tokens or view.state.tokens[-1] not in self.stop:
            return ()
        assert self.others_ended.wait(60), "the other rows wait for this reply"
        return self.tokenizer.encode("!")


@pytest.mark.parametrize("name", ["torch", "hf"])
def test_while_a_slow_reply_is_made_the_others_go_on(policy: Policy, name: str) -> None:
    mdp = make_mdp("Chain", size=8, seed=0, max_tokens=40)
    mdp.dynamics = Slow(mdp.tokenizer, "plain", 1.0)
    Slow.others_ended.set()
    at_once = sample_groups(make_sampler(name, policy), mdp, [0, 3], 4, temperature=1.0, seed=(7,))
    silent = sum(not (t.roles == Role.ENVIRONMENT).any() for t in episodes(at_once))
    assert 0 < silent < 8
    Slow.others_ended.clear()
    ended: list[int] = []

    def progress(count: int) -> None:
        ended.append(count)
        if len(ended) == silent:
            Slow.others_ended.set()

    sampler = make_sampler(name, policy)
    late = sample_groups(sampler, mdp, [0, 3], 4, temperature=1.0, seed=(7,), progress=progress)
    for one, two in zip(episodes(at_once), episodes(late), strict=True):
        assert one.tokens.tolist() == two.tokens.tolist()
        np.testing.assert_allclose(one.logprobs, two.logprobs, rtol=0, atol=1e-5)


def test_an_interrupt_leaves_nothing_running(policy: Policy) -> None:
    mdp = make_mdp("Chain", size=8, seed=0, max_tokens=40)
    mdp.dynamics = Slow(mdp.tokenizer, "plain", 1.0)
    Slow.others_ended.set()
    sampler, before = make_sampler("torch", policy), threading.active_count()

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    def draw(**how: Any) -> list[Group]:
        return sample_groups(sampler, mdp, [0, 3], 4, temperature=1.0, seed=(7,), **how)

    with pytest.raises(KeyboardInterrupt):
        draw(progress=interrupt)
    assert threading.active_count() == before
    assert len(episodes(draw())) == 8


class ByPosition(Policy):
    """Its log-prob of token t is theta[t], whatever stands there or before: context plays no part."""

    def __init__(self, like: Policy) -> None:
        self.tokenizer, self.name, self.context = like.tokenizer, "by position", like.context
        self.theta = nn.Parameter(torch.full((like.context,), -1.0))

    @property
    def device(self) -> torch.device:
        return self.theta.device

    @property
    def dtype(self) -> torch.dtype:
        return self.theta.dtype

    def states(self, batch: Batch) -> Any:
        """None are needed."""

    def logprobs(self, batch: Batch, *, temperature: float = 1.0, states: Any = None) -> tuple[Tensor, Tensor]:
        inside = torch.arange(batch.width) < batch.length[:, None]
        logp = self.theta[: batch.width].expand_as(inside) * inside
        return logp, -logp.detach()

    def parameters(self) -> list[nn.Parameter]:
        return [self.theta]


def test_what_the_environment_wrote_has_no_gradient(policy: Policy) -> None:
    mdp = make_mdp("Chain", size=8, stochastic="hint:0")
    right, wrong = mdp.demonstration(0).tokens, np.array([ord("7"), mdp.tokenizer.eos_id])
    rows = tuple(
        mdp.trajectory(0, Completion(t, -np.ones(len(t), np.float32), "eos", np.zeros_like(t), 0))
        for t in (right, wrong, wrong)
    )
    hint = int((rows[0].roles == Role.ENVIRONMENT).sum())
    group = Group(mdp.task.problems[0], rows)
    agent = GRPO(ByPosition(policy), GRPOConfig(beta=0.0))
    (gradient,) = gradients(agent, [group])
    assert hint > 20
    assert (gradient[:hint] == 0).all()
    assert (gradient[hint : hint + len(right)] != 0).all()
    # without context, other words of the environment are the same loss
    forged = [replace(t, tokens=np.where(t.roles == Role.ENVIRONMENT, 0, t.tokens)) for t in rows]
    (other,) = gradients(agent, [replace(group, trajectories=tuple(forged))])
    assert torch.equal(gradient, other)


def even(text: str, problem: Problem) -> Verdict:
    """A task that a beginner solves half of the time: to write an even number of characters."""
    right = len(text) % 2 == 0
    return Verdict(Reason.of(right), text, problem.answer)


def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    mdp = make_mdp("Chain", size=8, operators="+", operands=2, stochastic="calculator:0.2", max_tokens=30)
    mdp.task = replace(mdp.task, verify=even)

    def trained(out: Path, *parts: int) -> dict[str, Tensor]:
        """The weights after runs to these iterations, each in a new policy on the same folder."""
        out.mkdir()
        for iterations in parts:
            policy = arithmetical()
            agent = GRPO(policy, GRPOConfig(problems_per_iteration=4, samples_per_problem=4))
            levels, sampler = Curriculum((mdp,)), make_sampler("torch", policy)
            Loop(agent, sampler, levels, iterations=iterations, seed=0, out=out, quiet=True).run()
        return policy.state_dict()

    whole, resumed = trained(tmp_path / "whole", 2), trained(tmp_path / "resumed", 1, 2)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    start = arithmetical().state_dict()
    assert any(not torch.equal(whole[name], start[name]) for name in whole)
