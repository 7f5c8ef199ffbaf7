"""Every agent that learns from its own samples gets better at one-digit sums than the prior it started from."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reasonenv.agents.scalerl import ScaleRL, ScaleRLConfig
from reasonenv.catalog import AGENTS, find_agent
from reasonenv.core import Group
from reasonenv.learn.agent import Budget
from reasonenv.learn.curriculum import Curriculum
from reasonenv.learn.evaluation import Evaluation
from reasonenv.learn.loop import Loop, next_problems
from reasonenv.learn.policy_gradient import PolicyGradient
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.goals import Goals
from reasonenv.policy.policy import Policy
from reasonenv.rollout.groups import sample_groups
from reasonenv.sampling import make_sampler
from reasonenv.sampling.goal_sampler import conditioned_sampler
from reasonenv.tokenizer import byte_tokenizer

ITERATIONS, PROBLEMS, SAMPLES = 16, 8, 8
LEARNS = [name for name in AGENTS if issubclass(find_agent(name), PolicyGradient)]
MEASURED = 24 * 32  # answers, from seeds that no agent learns from
CERTAIN = 4.0  # standard errors: a policy that is no better gets there three times in 100,000


def right(policy: Policy, sums: ReasoningMDP, seed: str, goals: Goals | None = None) -> float:
    """The share of right answers at temperature 1."""
    sampler = conditioned_sampler(make_sampler("torch", policy), policy, goals)
    groups = sample_groups(sampler, sums, range(24), 32, temperature=1.0, seed=("measure", seed))
    return sum(t.verdict.correct for g in groups for t in g.trajectories) / MEASURED


def errors_apart(after: float, before: float) -> float:
    """The difference in its standard errors, each question's answers being independent draws."""
    return (after - before) / math.sqrt((before * (1 - before) + after * (1 - after)) / MEASURED)


def improve(name: str, policy: Policy, sums: ReasoningMDP, **numbers: Any) -> None:
    """A small run of an agent."""
    kind, sampler = find_agent(name), make_sampler("torch", policy)
    agent = kind(policy, kind.Config(problems_per_iteration=PROBLEMS, samples_per_problem=SAMPLES, **numbers))
    position = 0
    for i in range(ITERATIONS):
        sampler.sync(i)
        plan = agent.plan(Budget(i, ITERATIONS))
        problems, position = next_problems(sums, 0, position, PROBLEMS, plan.exclude)
        groups: list[Group] = sample_groups(sampler, sums, problems, SAMPLES, temperature=1.0, seed=("rollout", i))
        agent.learn(groups, Budget(i, ITERATIONS))


@pytest.fixture(scope="module")
def before(prior: Callable[[], Policy], sums: ReasoningMDP) -> float:
    found = right(prior(), sums, "before")
    assert 0.1 < found < 0.6  # there is signal, and room
    return found


@pytest.mark.parametrize("name", LEARNS)
def test_an_agent_gets_better_than_its_prior(
    name: str, prior: Callable[[], Policy], sums: ReasoningMDP, before: float
) -> None:
    policy = prior()
    improve(name, policy, sums, lr=1e-3)
    assert errors_apart(right(policy, sums, "after"), before) > CERTAIN


GOALS = {"epochs": 20, "bad_per_good": 0.25, "good": "G", "bad": "B"}  # what they mean has to be learned too


@pytest.mark.parametrize(("name", "own"), [("ei", {"epochs": 12}), ("rcrl", GOALS)])
def test_an_agent_of_rounds_gets_better_than_its_prior_in_one(
    name: str, own: dict[str, Any], prior: Callable[[], Policy], sums: ReasoningMDP, before: float
) -> None:
    policy, kind = prior(), find_agent(name)
    agent = kind(policy, kind.Config(lr=3e-3, samples_per_problem=8, solutions_per_step=8, **own))
    everything = range(len(sums.task.problems))
    groups = sample_groups(make_sampler("torch", policy), sums, everything, 8, temperature=1.0, seed=("rollout",))
    agent.learn(groups, Budget(0, 1))
    assert errors_apart(right(policy, sums, "after", agent.goals), before) > CERTAIN


def test_a_policy_that_has_not_learned_does_not_pass(
    prior: Callable[[], Policy], sums: ReasoningMDP, before: float
) -> None:
    policy = prior()
    improve("grpo", policy, sums, lr=1e-9)
    assert abs(errors_apart(right(policy, sums, "after"), before)) < CERTAIN


def test_a_resumed_scalerl_passes_over_the_same_problems(prior: Callable[[], Policy], tmp_path: Path) -> None:
    few = make_mdp("Chain", size=12, operands=2, operators="+", tokenizer=byte_tokenizer())
    numbers = ScaleRLConfig(lr=1e-3, problems_per_iteration=4, samples_per_problem=4, solved=0.5)

    def run(out: Path, stop: int | None = None) -> dict[str, Tensor]:
        def evaluate(iteration: int) -> Evaluation:
            if iteration == stop:
                raise KeyboardInterrupt
            return Evaluation({}, [])

        out.mkdir(exist_ok=True)
        agent = ScaleRL(policy := prior(), numbers)
        loop = Loop(agent, make_sampler("torch", policy), Curriculum((few,)), iterations=5, seed=0, out=out, quiet=True)
        loop.evaluate, loop.eval_every = evaluate, 1
        loop.run()
        return agent.state_dict()

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop=3)
    resumed = run(tmp_path / "cut")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
    # some were solved after the first epoch of 3 iterations, and not asked in the second
    asked = whole["history.counts"][:, 1]
    assert len(asked) == 12
    assert 4 in asked
    assert asked.max() >= 8
