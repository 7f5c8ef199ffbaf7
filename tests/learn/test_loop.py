"""The figures of an iteration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reasonenv.agents.dapo import DAPO, DAPOConfig
from reasonenv.agents.grpo import GRPO, GRPOConfig
from reasonenv.agents.random_tokens import UniformSampler
from reasonenv.agents.sft import SFT, SFTConfig
from reasonenv.core import Completion, Group, Reason
from reasonenv.errors import UserError
from reasonenv.learn import checkpoint
from reasonenv.learn.agent import Budget
from reasonenv.learn.curriculum import Curriculum
from reasonenv.learn.log import RunLog
from reasonenv.learn.loop import Loop, Progress, describe
from reasonenv.mdp.make import make_mdp
from reasonenv.policy.tiny import tiny_policy
from reasonenv.rollout.groups import draw_seeds
from reasonenv.sampling.sampler import MAX_GAP
from reasonenv.sampling.torch.torch_sampler import TorchSampler
from reasonenv.seeding import derive_seed
from reasonenv.storage import read_rows
from reasonenv.tokenizer import Tokenizer


def test_what_could_not_be_checked_is_no_wrong_answer(groups: list[Group]) -> None:
    # of twelve answers 2 + 1 + 4 are right; the two wrong ones of the first group are lost, so ten were judged
    right, wrong = groups[0].trajectories[:2], groups[0].trajectories[2:]
    lost = tuple(replace(t, verdict=replace(t.verdict, reason=Reason.ERROR)) for t in wrong)
    found = describe([replace(groups[0], trajectories=(*right, *lost)), *groups[1:]])
    assert found["accuracy"] == pytest.approx(0.7)
    assert found["verifier_errors"] == pytest.approx(2 / 12)
    assert found["groups/mixed"] == pytest.approx(1 / 3)  # the first group now has right answers alone


def test_a_reward_that_is_not_finite_is_counted_and_in_no_mean(groups: list[Group]) -> None:
    # 7 of 12 answers earn 1; one of those becomes infinite
    first = groups[0].trajectories[0]
    broken = replace(first, rewards=np.full_like(first.rewards, np.inf))
    found = describe([replace(groups[0], trajectories=(broken, *groups[0].trajectories[1:])), *groups[1:]])
    assert found["rewards/invalid"] == pytest.approx(1 / 12)
    assert found["reward"] == pytest.approx(6 / 11)


class Elsewhere(TorchSampler):
    """Says of every token that it was likelier than it was, by a factor of e to the 0.3."""

    def generate(self, *where: Any, **named: Any) -> list[list[Completion]]:
        found = super().generate(*where, **named)
        return [[replace(c, logprobs=c.logprobs + np.float32(0.3)) for c in row] for row in found]


class Asked(UniformSampler):
    """Keeps the seeds that it was asked to draw from."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self.seeds: list[int] = []

    def generate(self, prompts: Any, seeds: Any, *how: Any) -> list[list[Completion]]:
        self.seeds += [seed for row in seeds for seed in row]
        return super().generate(prompts, seeds, *how)


@pytest.mark.parametrize("stochastic", [None, "sticky:0.5"])
def test_no_two_rollouts_of_an_iteration_share_a_seed(stochastic: str | None, tmp_path: Path) -> None:
    # 8 problems, 16 a round, and refills: each problem is met twice or more
    policy = tiny_policy(0)
    mdp = make_mdp("Chain", tokenizer=policy.tokenizer, size=8, max_tokens=8, stochastic=stochastic)
    agent = DAPO(policy, DAPOConfig(problems_per_iteration=16, samples_per_problem=4))  # nothing is right: it refills
    sampler = Asked(policy.tokenizer)
    loop = Loop(agent, sampler, Curriculum((mdp,)), iterations=1, seed=3, out=tmp_path)
    loop.progress, loop.log = Progress(), RunLog(tmp_path, iteration=0, used=0, budget=1, unit="rollouts", quiet=True)
    rollouts, position = loop.experience(agent.plan(Budget(0, 1)))
    loop.log.close()
    assert position == 16 * 10
    rows = [t for group in rollouts.groups for t in group.trajectories]
    assert len(rows) == 4 * 16 * 10  # MAX_BATCHES
    if stochastic:
        assert len({t.noise for t in rows}) == len(rows)
    else:
        assert len(set(sampler.seeds)) == len(rows)
        whole = [tuple(t.tokens.tolist()) for t in rows if t.truncated]
        assert len(set(whole)) == len(whole) > 600  # of 257^8 texts: two alike would be of one seed


def test_the_first_time_a_problem_is_met_it_draws_from_the_seed_of_its_number_alone() -> None:
    seeds = draw_seeds([4, 2, 4, 4], 3, (7, "rollout", 0))
    assert seeds[:2] == [[derive_seed(7, "rollout", 0, i, j) for j in range(3)] for i in (4, 2)]
    assert len({seed for row in seeds for seed in row}) == 12
    assert draw_seeds([2, 4], 3, (7, "rollout", 0)) == [seeds[1], seeds[0]]


def small() -> tuple[GRPO, Any]:
    policy = tiny_policy(0)
    config = GRPOConfig(problems_per_iteration=2, samples_per_problem=4)
    mdp = make_mdp("Chain", tokenizer=policy.tokenizer, size=16, max_tokens=8, reward=lambda *_: 1.0)
    return GRPO(policy, config), Curriculum((mdp,))


def test_a_sampler_that_is_not_the_trainers_policy_stops_the_run_and_saves_nothing(tmp_path: Path) -> None:
    agent, mdp = small()
    assert MAX_GAP < 0.3  # what `Elsewhere` is off by
    with pytest.raises(UserError, match=r"disagree by 0.300 nats a token \(limit 0.2\): .*use float32 .* or the torch"):
        Loop(agent, Elsewhere(agent.policy), mdp, iterations=2, seed=0, out=tmp_path, quiet=True).run()
    assert not checkpoint.saved(tmp_path / "checkpoints")


class Counting(TorchSampler):
    """Notes the versions that it is given the weights of."""

    def sync(self, version: int) -> dict[str, float]:
        self.versions = [*getattr(self, "versions", []), version]
        return super().sync(version)


class Behind(Elsewhere):
    """As `Elsewhere`, and says that its weights are one update old."""

    def generate(self, *where: Any, **named: Any) -> list[list[Completion]]:
        drawn = super().generate(*where, **named)
        return [[replace(c, versions=c.versions - 1) for c in row] for row in drawn]


def test_what_an_older_policy_drew_may_be_far_from_the_trainers_and_stops_no_run(tmp_path: Path) -> None:
    policy, mdp = tiny_policy(0), make_mdp("Chain", size=8, max_tokens=8)
    agent = GRPO(policy, GRPOConfig(problems_per_iteration=2, samples_per_problem=2))
    Loop(agent, Behind(policy), Curriculum((mdp,)), 1, seed=0, out=tmp_path, quiet=True).run()
    row = read_rows(tmp_path / "metrics.jsonl")[-1]
    assert row["drift/mean"] == pytest.approx(0.3, abs=1e-4)
    assert row["staleness"] == 1.0
    assert "gap/mean" not in row


def test_weights_go_to_the_sampler_only_where_something_is_drawn_of_them(tmp_path: Path) -> None:
    policy = tiny_policy(0)
    mdp = Curriculum((make_mdp("Chain", tokenizer=policy.tokenizer, size=16),))
    seen = []
    for agent in (SFT(policy, SFTConfig(problems_per_iteration=2)), small()[0]):
        sampler, out = Counting(agent.policy), tmp_path / type(agent).__name__
        out.mkdir()
        Loop(agent, sampler, mdp, iterations=4, seed=0, out=out, eval_every=2, quiet=True).run()
        seen.append(sampler.versions[1:])  # but for that of the sampler's beginning
    assert seen == [[0, 2, 4], [0, 1, 2, 3, 4]]
