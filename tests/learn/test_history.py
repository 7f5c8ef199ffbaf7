"""What ScaleRL remembers of each problem, and what the run then no longer asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reasonenv.agents.scalerl import ScaleRL, ScaleRLConfig
from reasonenv.core import Group, Reason, Trajectory
from reasonenv.errors import UserError
from reasonenv.learn.agent import Budget
from reasonenv.learn.checkpoint import load, save
from reasonenv.learn.history import PassRates
from reasonenv.learn.loop import next_problems
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.policy import Policy


def test_rates_are_of_all_attempts_so_far(groups: list[Group]) -> None:
    history = PassRates()
    history.add(groups)  # 2, 1 and 4 right of 4
    history.add([replace(groups[0], trajectories=groups[0].trajectories[:2])])  # both right: 4 of 6
    names = [g.problem.id for g in groups]
    assert history.at_least(0.9) == {names[2]}
    assert history.at_least(4 / 6) == {names[0], names[2]}
    assert history.at_least(0.25) == set(names)


def test_an_answer_that_could_not_be_judged_is_no_attempt(groups: list[Group]) -> None:
    def lost(t: Trajectory) -> Trajectory:
        return replace(t, verdict=replace(t.verdict, reason=Reason.TIMEOUT))

    rows, history = groups[2].trajectories, PassRates()
    history.add([replace(groups[2], trajectories=tuple(map(lost, rows)))])
    assert history.at_least(0.9) == frozenset()
    history.add([replace(groups[2], trajectories=(*rows[:1], *map(lost, rows[1:])))])
    assert history.at_least(1.0) == {groups[2].problem.id}


def test_a_history_survives_a_checkpoint(groups: list[Group], tmp_path: Path) -> None:
    for seen in ([], groups):
        history, other = PassRates(), PassRates()
        history.add(seen)
        tensors, _ = load(save(tmp_path, len(seen), history.state_dict(), {}))
        other.load_state_dict(tensors)
        assert other.counts == history.counts


def test_scalerl_no_longer_asks_what_it_solves(policy: Policy, groups: list[Group]) -> None:
    agent = ScaleRL(policy, ScaleRLConfig(lr=1e-6))
    assert agent.plan(Budget(0, 2)).exclude == frozenset()
    assert agent.learn(groups, Budget(0, 2))["problems/solved"] == 1
    assert agent.plan(Budget(1, 2)).exclude == {groups[2].problem.id}
    resumed = ScaleRL(policy, ScaleRLConfig(lr=1e-6))
    resumed.load_state_dict({name: tensor.clone() for name, tensor in agent.state_dict().items()})
    assert resumed.plan(Budget(1, 2)) == agent.plan(Budget(1, 2))
    for solved in (0.0, 1.1, float("nan")):
        with pytest.raises(UserError, match="solved is"):
            ScaleRLConfig(solved=solved)


def test_a_walk_passes_over_what_is_excluded_and_is_otherwise_the_same(mdp: ReasoningMDP) -> None:
    size = len(mdp.task.problems)
    plain, after = next_problems(mdp, 3, 0, 2 * size)
    assert after == 2 * size
    assert sorted(plain[:size]) == sorted(plain[size:]) == list(range(size))  # every problem once an epoch
    gone = frozenset(mdp.task.problems[i].id for i in plain[:5])
    found, position = next_problems(mdp, 3, 0, size, gone)
    assert found == [i for i in plain if i not in plain[:5]][:size]
    # two draws are one draw, so a resumed run walks on where it was
    first, middle = next_problems(mdp, 3, 0, 7, gone)
    second, last = next_problems(mdp, 3, middle, size - 7, gone)
    assert (first + second, last) == (found, position)


def test_where_everything_is_excluded_nothing_is(mdp: ReasoningMDP) -> None:
    everything = frozenset(p.id for p in mdp.task.problems)
    assert next_problems(mdp, 3, 10, 70, everything) == next_problems(mdp, 3, 10, 70)
    assert torch.tensor(next_problems(mdp, 3, 10, 70)[0]).unique().numel() > 1
