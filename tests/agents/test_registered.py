"""Every agent of the table: it learns end to end from a real sampler, and it refuses what it cannot use."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import MISSING, fields, replace

import numpy as np
import pytest
import torch

from reasonenv.catalog import AGENTS, find_agent
from reasonenv.core import Completion, Group, Trajectory
from reasonenv.errors import UserError
from reasonenv.learn.agent import Agent, Budget
from reasonenv.learn.imitation import Imitation
from reasonenv.learn.policy_gradient import PolicyGradient
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.policy import Policy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.rollout.groups import sample_groups
from reasonenv.sampling import make_sampler
from reasonenv.testing import TabularPolicy, TinyMDP, scored

GRADIENT = [name for name in AGENTS if issubclass(find_agent(name), PolicyGradient)]
GROUP_BASELINE = sorted(set(GRADIENT) - {"reinforce", "reinforce_pp", "ppo"})


@pytest.mark.parametrize("name", GRADIENT)
def test_one_iteration_from_a_real_sampler(name: str, prior: Callable[[], Policy], sums: ReasoningMDP) -> None:
    policy = prior()
    agent = find_agent(name)(policy, find_agent(name).Config(samples_per_problem=4))
    plan = agent.plan(Budget(0, 1))
    sampler = make_sampler("torch", policy)
    groups = sample_groups(sampler, sums, range(8), plan.samples, temperature=plan.temperature, seed=(0,))
    rewards = [t.ret for g in groups for t in g.trajectories]
    assert 0 < sum(rewards) < len(rewards)  # there is something to learn
    metrics = agent.learn(groups, Budget(0, 1))
    assert metrics["updates"] == metrics["epochs"] * metrics["minibatches"]
    assert metrics["staleness"] == 0
    assert all(math.isfinite(value) for value in metrics.values())
    assert metrics["gap/mean"] < 1e-4  # float32, on-policy
    assert metrics["grad_norm"] > 0
    before = prior().state_dict()
    assert any(not torch.equal(tensor, before[key]) for key, tensor in policy.state_dict().items())


@pytest.mark.parametrize("name", ["ppo", "grpo_process", "tailrl"])
def test_a_step_that_is_right_teaches_even_where_no_answer_is(name: str, prior: Callable[[], Policy]) -> None:
    policy, kind = prior(), find_agent(name)
    agent = kind(policy, kind.Config(**({"beta": 0.0} if hasattr(kind.Config, "beta") else {})))  # no KL to learn from
    for reward in ("sparse", "dense"):
        mdp = make_mdp("Chain", size=4, operands=2, reward=reward, tokenizer=policy.tokenizer)
        gold = mdp.task.problems[0].steps[0]
        wrong = tuple(written(mdp, text) for text in (f"{gold}\n#### -7", "#### -7") * 2)
        groups = scored(policy, [Group(mdp.task.problems[0], wrong)])
        found = agent.advantage(agent.prepare(agent.batch(groups)))
        assert bool(found.any()) == (reward == "dense")


def written(mdp: ReasoningMDP, text: str) -> Trajectory:
    tokens = np.array([*mdp.tokenizer.encode(text), mdp.tokenizer.eos_id])
    return mdp.trajectory(0, Completion.unsampled(tokens, "eos"))


@pytest.mark.parametrize("name", ["dapo", "cispo", "scalerl"])
def test_where_no_group_is_mixed_nothing_is_learned_and_nothing_moves(name: str) -> None:
    policy = tiny_policy(0)  # knows nothing, so all is wrong
    mdp = make_mdp("Chain", size=4, tokenizer=policy.tokenizer)
    agent = find_agent(name)(policy)
    groups = sample_groups(make_sampler("torch", policy), mdp, range(2), 2, temperature=1.0, seed=(0,))
    metrics = agent.learn(groups, Budget(0, 1))
    assert (metrics["groups/kept"], metrics["updates"]) == (0.0, 0.0)
    fresh = tiny_policy(0).state_dict()
    assert all(torch.equal(tensor, fresh[key]) for key, tensor in policy.state_dict().items())


@pytest.mark.parametrize("name", GROUP_BASELINE)
def test_a_group_baseline_needs_siblings(name: str) -> None:
    with pytest.raises(UserError, match="at least 2"):
        find_agent(name).Config(samples_per_problem=1)


@pytest.mark.parametrize("name", ["reinforce", "rloo", "tree"])
def test_an_agent_without_a_correction_takes_one_step(name: str) -> None:
    for number in ("epochs", "minibatches"):
        with pytest.raises(UserError, match="on-policy"):
            find_agent(name).Config(**{number: 2})


@pytest.mark.parametrize(
    ("name", "numbers", "message"),
    [
        ("grpo", {"clip": 0}, "clip is 0; it must be greater than 0"),
        ("grpo", {"beta": -1}, "beta is -1; it must be at least 0"),
        ("rloo", {"beta": math.nan}, "beta is nan"),
        ("dapo", {"clip_high": -0.1}, "clip_high is -0.1"),
        ("dapo", {"longest": 0}, "longest is 0"),
        ("cispo", {"cap": 0}, "cap is 0"),
        ("dr_grpo", {"divisor": 0}, "divisor is 0"),
        ("dppo", {"divergence": "kll"}, "unknown divergence 'kll'; did you mean kl"),
        ("dppo", {"limit": 0.0}, "limit is 0.0"),
        ("dppo", {"top": 0}, "top is 0"),
    ],
)
def test_bad_numbers_are_named(name: str, numbers: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_agent(name).Config(**numbers)


@pytest.mark.parametrize("name", list(AGENTS))
def test_a_config_is_short_and_explains_itself(name: str) -> None:
    numbers = fields(find_agent(name).Config)
    assert len(numbers) <= 16
    assert all(f.metadata["description"] and f.default is not MISSING for f in numbers)


@pytest.mark.parametrize("name", list(AGENTS))
def test_an_agent_says_in_one_line_what_it_is(name: str) -> None:
    kind = find_agent(name)
    assert len((kind.__doc__ or "").strip().splitlines()) == 1
    module = inspect.getmodule(kind)
    assert module is not None
    assert {"Source:", "Differences:"} <= set((module.__doc__ or "").split())


@pytest.mark.parametrize("name", GRADIENT)
def test_rows_without_advantage_are_skipped_by_all_but_those_who_learn_from_them(name: str) -> None:
    # a critic and a KL in the loss are felt by every row
    process = TinyMDP(actions=2, horizon=2, reward=lambda response: float(response == (1, 0)))
    kind = find_agent(name)
    for beta in (0.0, 0.1):
        numbers = {"beta": beta} if hasattr(kind.Config, "beta") else {}
        agent = kind(TabularPolicy(process), kind.Config(**numbers))
        batch = agent.prepare(agent.batch([process.group(agent.policy, [0, 1, 2, 3])]))
        (teaches,) = {teaches for _, teaches in agent.passes(batch, torch.zeros(4, 1))}
        in_the_loss = name in ("grpo", "grpo_process", "reinforce_pp_baseline") and beta > 0
        assert teaches == (name == "ppo" or in_the_loss)


@pytest.mark.parametrize("name", [name for name in AGENTS if issubclass(find_agent(name), Agent)])
def test_who_needs_draws_refuses_what_was_selected_among_them(name: str, prior: Callable[[], Policy]) -> None:
    policy, kind = prior(), find_agent(name)
    mdp = make_mdp("Chain", size=4, operands=2, tokenizer=policy.tokenizer)
    gold = mdp.demonstration(0)
    group = Group(gold.problem, (replace(gold, selected=True), written(mdp, "#### -7")))
    agent = kind(policy)
    if issubclass(kind, Imitation):
        assert agent.learn([group], Budget(0, 1))["updates"] > 0
    else:
        with pytest.raises(UserError, match=r"learns from samples as draws .* use an agent that imitates") as error:
            agent.learn([group], Budget(0, 1))
        assert "\n" not in str(error.value)
