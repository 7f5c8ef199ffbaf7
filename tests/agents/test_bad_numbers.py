"""No agent takes a step by numbers that are none, wherever they come from, and each says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from reasonenv.agents.ppo import PPO
from reasonenv.catalog import AGENTS, find_agent
from reasonenv.core import Batch, Group
from reasonenv.learn.agent import Agent, Budget
from reasonenv.learn.filters import nonconstant
from reasonenv.learn.observer import Observer
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.policy import Policy
from reasonenv.rollout.groups import demonstrate, sample_groups
from reasonenv.sampling import make_sampler

LEARNING = [name for name in AGENTS if issubclass(find_agent(name), Agent)]


def made(name: str, policy: Policy) -> Agent:
    """With as little work as it allows."""
    config = find_agent(name).Config
    small = {"samples_per_problem": 2, "epochs": 1, "minibatches": 1}
    return find_agent(name)(policy, config(**{f.name: small[f.name] for f in fields(config) if f.name in small}))


@pytest.fixture(scope="module")
def groups(prior: Callable[[], Policy], sums: ReasoningMDP) -> list[Group]:
    """Four of two samples, of which one is right."""
    drawn = sample_groups(make_sampler("torch", prior()), sums, range(24), 6, temperature=1.0, seed=(0,))
    found = []
    for group in nonconstant(drawn):
        by = sorted(group.trajectories, key=lambda t: t.verdict.correct)
        found.append(replace(group, trajectories=(by[0], by[-1])))
    return found[:4]


@contextmanager
def broken(agent: Agent, where: str, value: float) -> Iterator[None]:
    """Within it one number of the logits (by the hidden states), or of a gradient, is `value`."""

    def spoil(tensor: Tensor) -> Tensor:
        spoiled = tensor.clone()
        spoiled.view(-1)[0] = value
        return spoiled

    model = (agent.policy if agent.trains_policy else agent.scorer.trunk).model
    if where == "gradients":
        hook = next(p for p in agent.parameters() if p.requires_grad).register_hook(spoil)
    else:

        def hide(module: object, given: object, output: Tensor) -> Tensor:
            return output + value if torch.is_tensor(output) else output

        hook = model.get_decoder().norm.register_forward_hook(hide)
    yield
    hook.remove()


class SkippedSteps(Observer):
    """Keeps the batches of the steps that were not taken."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def skipped_step(self, batch: Batch) -> None:
        self.batches.append(batch)


@pytest.mark.parametrize("where", ["gradients", "logits"])
@pytest.mark.parametrize("name", LEARNING)
def test_no_agent_takes_a_step_that_is_no_number(
    name: str, where: str, prior: Callable[[], Policy], sums: ReasoningMDP, groups: list[Group]
) -> None:
    agent = made(name, prior())
    observer = SkippedSteps()
    before = {key: tensor.clone() for key, tensor in agent.state_dict().items() if not key.startswith(("tra", "his"))}
    with broken(agent, where, math.nan if where == "logits" else math.inf):
        metrics = agent.learn(demonstrate(sums, range(4)) if name == "sft" else groups, Budget(0, 2), observer)
    assert metrics["updates"] == 0
    assert metrics["updates/refused"] == len(observer.batches) > 0
    after = agent.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())


def test_values_that_are_no_numbers_are_refused(prior: Callable[[], Policy], groups: list[Group]) -> None:
    class Blind(PPO):
        def prepare(self, batch: Batch) -> Batch:
            batch = super().prepare(batch)
            assert batch.values is not None
            batch.values[0, 0] = math.nan
            return batch

    agent = Blind(prior(), PPO.Config(samples_per_problem=2, epochs=1, minibatches=1))
    before = {key: tensor.clone() for key, tensor in agent.state_dict().items()}
    metrics = agent.learn(groups, Budget(0, 2))
    assert (metrics["updates"], metrics["updates/refused"]) == (0, 1)
    assert all(torch.equal(agent.state_dict()[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize("name", [name for name in LEARNING if name not in ("sft", "orm", "rcrl", "ei")])
def test_a_group_without_one_finite_reward_is_as_if_it_had_not_been(
    name: str, prior: Callable[[], Policy], groups: list[Group]
) -> None:
    def spoilt(group: Group) -> Group:
        rows = [replace(t, rewards=np.full_like(t.rewards, np.nan)) for t in group.trajectories]
        return replace(group, trajectories=tuple(rows))

    with_it, without = made(name, prior()), made(name, prior())
    found = with_it.learn([*groups[1:], spoilt(groups[0])], Budget(0, 2))
    without.learn(groups[1:], Budget(0, 2))
    assert found["groups/kept"] < 1
    own, other = with_it.policy.state_dict(), without.policy.state_dict()
    assert all(torch.equal(tensor, other[key]) for key, tensor in own.items())
