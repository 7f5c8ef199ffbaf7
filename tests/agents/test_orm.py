"""The outcome reward model: gold loss, causality, and that it learns to tell right from wrong."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from reasonenv.agents.orm import ORMConfig, OutcomeRewardModel
from reasonenv.core import Completion, Group, Trajectory
from reasonenv.errors import UserError
from reasonenv.learn.agent import Budget
from reasonenv.learn.judge import rewarded_by, score_steps
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.measures.metrics import auc
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.policy.value_head import Scorer, load_scorer


@pytest.fixture(scope="module")
def mdp() -> ReasoningMDP:
    return make_mdp("Chain", operands=2, operators="+")


def answer(mdp: ReasoningMDP, index: int, text: str) -> Trajectory:
    tokens = np.array([*mdp.tokenizer.encode(text), mdp.tokenizer.eos_id])
    return mdp.trajectory(index, Completion.unsampled(tokens, "eos"))


def group(mdp: ReasoningMDP, index: int) -> Group:
    """The right sum and one that is wrong by 1 to 9."""
    problem = mdp.task.problems[index]
    (step,) = problem.steps
    wrong = int(problem.answer) + 1 + index % 9
    texts = (f"{step}\n#### {problem.answer}", f"{step.partition('=')[0]}={wrong}\n#### {wrong}")
    return Group(problem, tuple(answer(mdp, index, text) for text in texts))


def opinionated(seed: int = 0) -> Scorer:
    """A reward model whose scores are all over the place."""
    scorer = Scorer(tiny_policy(seed))
    with torch.no_grad():
        scorer.head.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(seed))
    return scorer


def test_before_training_every_prefix_is_worth_a_half_and_the_loss_is_log_2(mdp: ReasoningMDP) -> None:
    agent = OutcomeRewardModel(tiny_policy(0), ORMConfig(epochs=1))
    groups = [group(mdp, i) for i in range(4)]
    batch = agent.batch(groups)
    assert torch.equal(agent.scorer.scores(batch), torch.full_like(batch.mask, 0.5))
    assert agent.learn(groups, Budget(0, 1))["loss"] == pytest.approx(math.log(2), abs=1e-6)


def test_the_loss_is_the_mean_over_tokens_of_the_log_chance_of_the_outcome(mdp: ReasoningMDP) -> None:
    agent = OutcomeRewardModel(tiny_policy(0), ORMConfig(epochs=1, tokens_per_microbatch=64))
    agent.scorer = opinionated()
    groups = [group(mdp, i) for i in range(3)]
    rows = [t for g in groups for t in g.trajectories]
    scores = agent.scorer.scores(agent.batch(groups)).double()
    each = [
        math.log(float(s) if t.verdict.correct else 1 - float(s))
        for t, row in zip(rows, scores, strict=True)
        for s in row[: len(t.tokens)]
    ]
    assert agent.learn(groups, Budget(0, 1))["loss"] == pytest.approx(-sum(each) / len(each), rel=1e-4)


def test_the_score_of_a_prefix_does_not_know_what_follows(mdp: ReasoningMDP) -> None:
    scorer = opinionated()
    long, short, other = (answer(mdp, 0, text) for text in ("1+1=2\n3\n#### 4", "1+1=2\n3\n", "1+1=2\n#### 5"))
    found = score_steps(scorer, [long, short, other])
    assert [len(scores) for scores in found] == [3, 3, 2]
    assert found[0][:2] == pytest.approx(found[1][:2], abs=1e-5)
    assert found[0][0] == pytest.approx(found[2][0], abs=1e-5)
    assert len({round(float(s), 4) for s in found[0]}) == 3


def test_learned_rewards_fall_at_the_end_or_on_every_step_with_one_return(mdp: ReasoningMDP) -> None:
    scorer = opinionated()
    groups = [group(mdp, i) for i in range(2)]
    steps = score_steps(scorer, [t for g in groups for t in g.trajectories])
    for placement in ("sparse", "dense"):
        found = [t for g in rewarded_by(scorer, groups, placement=placement) for t in g.trajectories]
        assert [t.ret for t in found] == pytest.approx([float(s[-1]) for s in steps], abs=1e-5)
        places = [np.flatnonzero(t.rewards).tolist() for t in found]
        assert places == [t.ends.tolist() if placement == "dense" else [len(t.tokens) - 1] for t in found]
        assert [t.verdict for t in found] == [t.verdict for g in groups for t in g.trajectories]
    with pytest.raises(UserError, match="unknown reward of an orm 'dens'; did you mean dense"):
        rewarded_by(scorer, groups, placement="dens")


def test_it_learns_to_tell_right_from_wrong_and_leaves_the_policy_alone(mdp: ReasoningMDP, tmp_path: Path) -> None:
    policy = tiny_policy(0)
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    agent = OutcomeRewardModel(policy, ORMConfig(lr=1e-3, epochs=1, solutions_per_step=64))
    for i in range(24):
        agent.learn([group(mdp, j % 73) for j in range(32 * i, 32 * i + 32)], Budget(i, 24))
    # On questions that it has seen: so small a model does not learn addition in 24 iterations.
    rows = [t for i in range(32) for t in group(mdp, i).trajectories]
    scores = [float(s[-1]) for s in score_steps(agent.scorer, rows)]
    area = auc(scores, [t.verdict.correct for t in rows])
    assert area is not None
    assert area > 0.8
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.state_dict().items())

    agent.scorer.save(tmp_path / "scorer")
    again = load_scorer(str(tmp_path), policy)
    assert [float(s[-1]) for s in score_steps(again, rows)] == pytest.approx(scores, abs=1e-5)
    other = OutcomeRewardModel(tiny_policy(1))
    other.load_state_dict({name: tensor.clone() for name, tensor in agent.state_dict().items()})
    assert other.state_dict().keys() == agent.state_dict().keys()
    assert torch.equal(other.scorer.head.weight, agent.scorer.head.weight)


def test_a_folder_without_a_reward_model_and_one_of_other_tokens_are_refused(tmp_path: Path) -> None:
    policy = tiny_policy(0)
    with pytest.raises(UserError, match="holds no reward model; give the folder of a run"):
        load_scorer(str(tmp_path), policy)
    Scorer(tiny_policy(0)).save(tmp_path / "scorer")
    stranger = HFPolicy(policy.model, policy.tokenizer, name="stranger")
    stranger.tokenizer = type(policy.tokenizer)(policy.tokenizer.hf.__class__.from_pretrained(tmp_path / "scorer"))
    stranger.tokenizer.hf.add_tokens(["##"])
    with pytest.raises(UserError, match="reads other tokens than 'stranger' writes"):
        load_scorer(str(tmp_path), stranger)
