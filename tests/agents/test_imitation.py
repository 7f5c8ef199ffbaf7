"""SFT and Expert Iteration: what they imitate, and from where."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from reasonenv.agents.ei import ExpertIteration
from reasonenv.agents.sft import SFT, SFTConfig
from reasonenv.core import Completion, Group, Trajectory
from reasonenv.learn.agent import Budget
from reasonenv.learn.imitation import cosine
from reasonenv.learn.rounds import RoundsConfig
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.tiny import tiny_policy
from reasonenv.rollout.groups import demonstrate
from reasonenv.verify.solution_path import operations


@pytest.fixture(scope="module")
def mdp() -> ReasoningMDP:
    return make_mdp("Chain", size=16, operators="+")


def answer(mdp: ReasoningMDP, index: int, text: str) -> Trajectory:
    tokens = np.array([*mdp.tokenizer.encode(text), mdp.tokenizer.eos_id])
    return mdp.trajectory(index, Completion.unsampled(tokens, "eos"))


def paths(mdp: ReasoningMDP, index: int) -> list[Trajectory]:
    """Right, right in other words, right by another path, wrong."""
    gold = mdp.task.problems[index].answer
    texts = [f"{gold}+0={gold}\n#### {gold}", f"{gold} + 0 = {gold}\n#### {gold}"]
    texts += [f"1*{gold}={gold}\n#### {gold}", "1+1=2\n#### -1"]
    found = [answer(mdp, index, text) for text in texts]
    assert [t.verdict.correct for t in found] == [True, True, True, False]
    return found


def test_the_loss_of_sft_falls(mdp: ReasoningMDP) -> None:
    agent = SFT(tiny_policy(0), SFTConfig(lr=3e-3))
    groups = demonstrate(mdp, range(8))
    losses = [agent.learn(groups, Budget(i, 12))["loss"] for i in range(12)]
    assert losses[0] > 4  # near log 257 = 5.55 before anything is known
    assert losses[-1] < losses[0] / 2


def test_the_learning_rate_warms_up_and_falls_along_a_cosine_to_a_tenth() -> None:
    # 100 steps, 10 of warm-up; half way down (step 55) it is the mean of 1 and 0.1
    found = {step: cosine(1.0, step, 100) for step in (0, 9, 10, 55, 100)}
    assert found == pytest.approx({0: 0.1, 9: 1.0, 10: 1.0, 55: 0.55, 100: 0.1})
    assert cosine(2.0, 0, 1) == 2.0


def test_ei_keeps_what_is_correct_and_new(mdp: ReasoningMDP) -> None:
    agent = ExpertIteration(tiny_policy(0), RoundsConfig(epochs=1))
    first = agent.learn([Group(mdp.task.problems[0], tuple(paths(mdp, 0)))], Budget(0, 2))
    assert (first["kept"], first["kept/new"]) == (2, 2)
    again = [Group(mdp.task.problems[i], tuple(paths(mdp, i))) for i in (0, 1)]
    second = agent.learn(again, Budget(1, 2))
    assert (second["kept"], second["kept/new"]) == (4, 2)  # D_n holds D_(n-1), and nothing twice


def test_ei_keeps_the_first_ones_up_to_its_cap(mdp: ReasoningMDP) -> None:
    agent = ExpertIteration(tiny_policy(0), RoundsConfig(epochs=1, solutions_per_problem=1))
    found = paths(mdp, 0)
    agent.learn([Group(mdp.task.problems[0], tuple(found))], Budget(0, 1))
    (kept,) = agent.kept[mdp.task.problems[0].id, True].values()
    assert kept is found[0]


def test_ei_starts_every_round_from_the_initial_weights(mdp: ReasoningMDP) -> None:
    # two agents, one of which has been elsewhere between: a round depends on D and the initial weights alone
    groups = [Group(mdp.task.problems[i], tuple(paths(mdp, i))) for i in range(2)]
    straight, moved = (ExpertIteration(tiny_policy(0), RoundsConfig(epochs=2)) for _ in range(2))
    with torch.no_grad():
        for parameter in moved.policy.parameters():
            parameter.add_(0.1)
    for agent in (straight, moved):
        agent.learn(groups, Budget(0, 1))
    mine, theirs = straight.policy.state_dict(), moved.policy.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert not torch.equal(mine["model.embed_tokens.weight"], straight.initial["model.embed_tokens.weight"])


def test_ei_leaves_the_policy_alone_if_nothing_was_correct(mdp: ReasoningMDP) -> None:
    agent = ExpertIteration(tiny_policy(0))
    wrong = paths(mdp, 0)[3:]
    metrics = agent.learn([Group(mdp.task.problems[0], tuple(wrong))], Budget(0, 1))
    assert (metrics["kept"], metrics["updates"]) == (0, 0)
    now = agent.policy.state_dict()
    assert all(torch.equal(now[name], value) for name, value in agent.initial.items())


def test_a_restored_ei_remembers_what_it_has_kept(mdp: ReasoningMDP) -> None:
    groups = [Group(mdp.task.problems[i], tuple(paths(mdp, i))) for i in range(2)]
    agent, other = (ExpertIteration(tiny_policy(0), RoundsConfig(epochs=1)) for _ in range(2))
    agent.learn(groups[:1], Budget(0, 2))
    other.load_state_dict({name: tensor.clone() for name, tensor in agent.state_dict().items()})
    for each in (agent, other):
        each.learn(groups, Budget(1, 2))
    mine, theirs = agent.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_solutions_of_one_path_are_one_solution(mdp: ReasoningMDP) -> None:
    texts = [mdp.tokenizer.decode(t.tokens[:-1].tolist()) for t in paths(mdp, 0)]
    assert operations(texts[0]) == operations(texts[1]) != operations(texts[2])
    assert replace(paths(mdp, 0)[0]).ret == 1.0
