"""A run from which nothing can be learned says so, with what to do, and a run from which something can says nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reasonenv.agents.grpo import GRPO, GRPOConfig
from reasonenv.agents.ppo import PPO
from reasonenv.catalog import find_agent
from reasonenv.cli import main
from reasonenv.core import Group
from reasonenv.learn.agent import Agent
from reasonenv.learn.contrast import contrasting, missing_signal
from reasonenv.learn.curriculum import Curriculum
from reasonenv.learn.loop import Loop
from reasonenv.mdp.make import make_mdp
from reasonenv.policy.policy import Policy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.sampling.torch.torch_sampler import TorchSampler


def told(agent: Agent, right: int, contrasts: int) -> str:
    return missing_signal(agent, rollouts=512, right=right, contrasts=contrasts) or ""


def test_what_is_told_depends_on_what_the_agent_learns_from(policy: Policy) -> None:
    grpo, ei, orm, majority = (find_agent(name)(policy) for name in ("grpo", "ei", "orm", "majority"))
    assert "no right answer in 512 rollouts" in told(grpo, 0, 0)
    assert "train sft first" in told(grpo, 0, 0)
    assert "every one of 512 rollouts is right" in told(grpo, 512, 0)
    assert "no group has different rewards" in told(grpo, 16, 0)
    assert told(grpo, 16, 1) == ""
    assert "no right answer" in told(ei, 0, 0)
    assert told(ei, 512, 0) == ""  # imitates right answers, whatever the others are
    assert told(orm, 0, 0) == ""
    assert missing_signal(majority, rollouts=0, right=0, contrasts=0) is None


def test_rewards_are_compared_with_what_the_baseline_is_made_of(policy: Policy, groups: list[Group]) -> None:
    # of the three groups two have different rewards; a group of right and one of wrong answers differ from each other
    assert contrasting(GRPO(policy), groups) == 2
    uniform = [replace(groups[0], trajectories=groups[0].trajectories[part]) for part in (slice(2), slice(2, 4))]
    assert contrasting(GRPO(policy), uniform) == 0
    assert contrasting(PPO(policy), uniform) == 1
    nudged = tuple(replace(t, rewards=t.rewards + np.float32(1e-8) * i) for i, t in enumerate(uniform[0].trajectories))
    assert contrasting(GRPO(policy), [replace(groups[0], trajectories=nudged)]) == 0  # rounding is no contrast


def test_it_is_said_once_after_enough_rollouts_and_not_again_after_a_restart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # random weights and 4 tokens: no answer is right. 128 rollouts an iteration, so 256 are there after the second
    def run(iterations: int) -> Any:
        policy = tiny_policy(0)
        agent = GRPO(policy, GRPOConfig(problems_per_iteration=8, samples_per_problem=16, lr=1e-9, beta=0.0))
        mdp = make_mdp("Chain", tokenizer=policy.tokenizer, size=16, max_tokens=4)
        levels = Curriculum((mdp,))
        return Loop(agent, TorchSampler(policy), levels, iterations=iterations, seed=0, out=tmp_path).run()

    counts = []
    for iterations in (1, 3, 4):
        used = run(iterations)
        counts.append(capsys.readouterr().out.count("no right answer in 256 rollouts"))
    assert counts == [0, 1, 0]
    assert (used.rollouts, used.right, used.contrasts) == (512, 0, 0)


def test_the_summary_and_the_closing_line_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    command = "train grpo reasonenv/Chain-Response-v0 size=16 max_tokens=4 eval_problems=2 problems_per_iteration=2"
    assert main([*command.split(), "samples_per_problem=2", "--iterations", "1", "--out", str(out)]) == 0
    assert "no right answer in 4 rollouts: there is nothing to reinforce" in capsys.readouterr().out
    assert json.loads((out / "summary.json").read_text())["signal"].startswith("no right answer in 4 rollouts")


def test_imitation_of_solutions_says_nothing(tmp_path: Path) -> None:
    policy, kind = tiny_policy(0), find_agent("sft")
    agent = kind(policy, kind.Config(problems_per_iteration=4))
    mdp = make_mdp("Chain", tokenizer=policy.tokenizer, size=8)
    levels = Curriculum((mdp,))
    used = Loop(agent, TorchSampler(policy), levels, iterations=1, seed=0, out=tmp_path, quiet=True).run()
    assert missing_signal(agent, rollouts=used.rollouts, right=used.right, contrasts=used.contrasts) is None
