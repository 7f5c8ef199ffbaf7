"""Return-conditioned RL: what is labelled how, what is learned from it, and that goals come to mean something."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from reasonenv.agents.ei import ExpertIteration
from reasonenv.agents.rcrl import RCRLConfig, ReturnConditioned, conditioned
from reasonenv.core import Completion, Group, Reason, Role, Trajectory, Verdict
from reasonenv.errors import UserError
from reasonenv.experiment.assess import evaluate
from reasonenv.learn.agent import Budget
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.collate import collate
from reasonenv.policy.goals import Goals
from reasonenv.policy.tiny import tiny_policy
from reasonenv.policy.value_head import Scorer
from reasonenv.sampling import make_sampler
from reasonenv.sampling.goal_sampler import conditioned_sampler


@pytest.fixture(scope="module")
def mdp() -> ReasoningMDP:
    return make_mdp("Chain", size=64, operands=2, operators="+")


def answer(mdp: ReasoningMDP, index: int, text: str) -> Trajectory:
    tokens = np.array([*mdp.tokenizer.encode(text), mdp.tokenizer.eos_id])
    return mdp.trajectory(
        index, Completion(tokens, np.full(len(tokens), -1, dtype=np.float32), "eos", np.zeros_like(tokens), 0)
    )


def answers(mdp: ReasoningMDP, index: int, wrong: int = 1) -> Group:
    """One right answer, and some wrong ones by different paths."""
    gold = mdp.task.problems[index].answer
    texts = [f"#### {gold}", *(f"{i}+1={i + 1}\n#### -7" for i in range(wrong))]
    return Group(mdp.task.problems[index], tuple(answer(mdp, index, text) for text in texts))


def test_goals_stand_before_every_step_and_are_nobodys_choice(mdp: ReasoningMDP) -> None:
    t = answer(mdp, 0, "7\n#### 5")  # two steps: "7\n" and "#### 5" + EOS
    found = conditioned(t, [mdp.tokenizer.encode("+"), mdp.tokenizer.encode("--")])
    assert mdp.tokenizer.decode(found.tokens.tolist()) == "+7\n--#### 5<eos>"
    assert found.roles.tolist() == [0, 1, 1, 0, 0, *[1] * 7]
    assert found.logprobs.tolist() == [0, -1, -1, 0, 0, *[-1] * 7]
    assert found.ends.tolist() == [2, 11]  # 1 and 8, moved by 1 and by 3
    assert [a.dtype for a in (found.tokens, found.roles, found.logprobs, found.rewards)] == [
        a.dtype for a in (t.tokens, t.roles, t.logprobs, t.rewards)
    ]
    batch = collate([Group(t.problem, (found,))], pad=0)
    assert batch.mask[0].tolist() == (found.roles == Role.POLICY).tolist()  # the loss is on steps alone


def test_all_samples_are_used_and_the_bad_ones_are_drawn_anew_each_epoch(mdp: ReasoningMDP) -> None:
    solutions = list(answers(mdp, 0, wrong=5).trajectories)
    draws = [np.random.default_rng(i) for i in range(60)]
    counts = {}
    for ratio in (0.0, 1.0, 2.0, None):
        agent = ReturnConditioned(tiny_policy(0), RCRLConfig(bad_per_good=ratio))
        epochs = agent.lessons(solutions, draws)
        counts[ratio] = {len(epoch) for epoch in epochs}
        if ratio == 1.0:
            seen = Counter(t.tokens.tobytes() for epoch in epochs for t in epoch)
            assert len(seen) == 6  # every bad one, over the epochs
            assert max(seen.values()) == 60  # the good one in each
    assert counts == {0.0: {1}, 1.0: {2}, 2.0: {3}, None: {6}}


def test_what_could_not_be_checked_is_neither_good_nor_bad(mdp: ReasoningMDP) -> None:
    t = answers(mdp, 0).trajectories[0]
    lost = Trajectory(**{**vars(t), "verdict": Verdict(Reason.TIMEOUT, None, "1")})
    agent = ReturnConditioned(tiny_policy(0))
    assert [agent.keeps(one) for one in (t, lost)] == [True, False]


def test_without_a_good_sample_the_policy_stays(mdp: ReasoningMDP) -> None:
    agent = ReturnConditioned(tiny_policy(0))
    group = answers(mdp, 0)
    metrics = agent.learn([Group(group.problem, group.trajectories[1:])], Budget(0, 1))
    assert (metrics["kept"], metrics["updates"], agent.goals) == (1, 0, None)


def test_a_reward_model_labels_each_step_by_its_own_prefix(mdp: ReasoningMDP) -> None:
    agent = ReturnConditioned(tiny_policy(0))
    agent.scorer = Scorer(tiny_policy(0))
    with torch.no_grad():
        agent.scorer.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    solutions = [answer(mdp, i, "1+1=2\n2\n3\n#### 4") for i in range(8)]
    labels = agent.labels(solutions)
    assert {len(label) for label in labels} == {4}
    assert len({tuple(label) for label in labels}) > 1  # not one label a solution
    scores = [float(agent.scorer.scores(collate([Group(t.problem, (t,))], pad=0))[0, t.ends[1]]) for t in solutions]
    assert [bool(label[1]) for label in labels] == [score > 0.5 for score in scores]


def test_a_restored_agent_is_conditioned_on_the_good_goal_again(mdp: ReasoningMDP) -> None:
    agent, other = (ReturnConditioned(tiny_policy(0), RCRLConfig(epochs=1)) for _ in range(2))
    agent.learn([answers(mdp, i) for i in range(2)], Budget(0, 2))
    other.load_state_dict({name: tensor.clone() for name, tensor in agent.state_dict().items()})
    assert other.goals == Goals()
    for each in (agent, other):
        each.learn([answers(mdp, 3)], Budget(1, 2))
    mine, theirs = agent.state_dict(), other.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_other_agents_refuse_a_policy_that_is_asked_for_goals() -> None:
    policy = tiny_policy(0)
    policy.goals = Goals()
    with pytest.raises(UserError, match="writes behind goals; train it with rcrl"):
        ExpertIteration(policy)


def test_bad_numbers_are_named() -> None:
    with pytest.raises(UserError, match="bad_per_good is -1"):
        RCRLConfig(bad_per_good=-1)
    with pytest.raises(UserError, match="epochs is 0"):
        RCRLConfig(epochs=0)
    with pytest.raises(UserError, match="'nowhere' holds no reward model"):
        ReturnConditioned(tiny_policy(0), RCRLConfig(labels="nowhere"))


def test_asked_for_the_good_it_is_right_and_asked_for_the_bad_it_is_wrong(mdp: ReasoningMDP) -> None:
    policy = tiny_policy(0)
    agent = ReturnConditioned(policy, RCRLConfig(lr=3e-3, epochs=30, solutions_per_step=32))
    agent.learn([answers(mdp, i) for i in range(16)], Budget(0, 1))
    assert agent.goals == Goals()

    def right(goals: Goals) -> int:
        sampler = conditioned_sampler(make_sampler("torch", policy), policy, goals)
        return sum(s.correct for s in evaluate(sampler, mdp, range(16), samples=1, temperature=0.0, seed=0))

    good, bad = right(agent.goals), right(agent.goals.negated())
    assert (good > 10, bad < 3) == (True, True), (good, bad)
