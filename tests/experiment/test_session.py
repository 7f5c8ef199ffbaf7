"""Build, then run: what is built belongs together, and a kind of method says all that a run needs to know of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reasonenv.agents.grpo import GRPO
from reasonenv.catalog import AGENTS
from reasonenv.core import Group
from reasonenv.errors import UserError
from reasonenv.experiment.assess import assess
from reasonenv.experiment.config import DoctorConfig, EvalConfig, describe_run
from reasonenv.experiment.doctor import examine
from reasonenv.experiment.session import build
from reasonenv.experiment.train import train
from reasonenv.learn.agent import Agent, Budget, Config, Metrics, Plan
from reasonenv.learn.evaluation import GreedyEvaluator, HeldOut
from reasonenv.learn.observer import SILENT, Observer
from reasonenv.measures.samples import EVALUATION, Sample, read_samples
from reasonenv.policy.goals import Goals
from reasonenv.policy.policy import Policy
from reasonenv.policy.tiny import tiny_policy

ENV = "reasonenv/Chain-Response-v0"
EASY = {"operands": 2, "operators": "+", "size": 16, "max_tokens": 8}
SMALL = {**EASY, "eval_problems": 4, "eval_every": 1, "problems_per_iteration": 2, "samples_per_problem": 2}


class LengthEvaluator(GreedyEvaluator):
    """How many answers are as long as was predicted, or shorter."""

    method: LengthBound

    def hit(self, sample: Sample) -> bool:
        return sample.length <= float(self.method.bound.detach())

    def summary(self, iterations: int) -> dict[str, Any]:
        return {**super().summary(iterations), "bound": float(self.method.bound.detach())}


class LengthBound(Agent):
    """Predicts the length of answers by one number, whose loss is its squared error, and leaves the policy as it is."""

    Config = Config
    trains_policy = False
    signal = "any"

    def __init__(self, policy: Policy, config: Config | None = None, *, seed: int = 0) -> None:
        self.bound = nn.Parameter(torch.zeros(()))
        super().__init__(policy, config, seed=seed)

    def parameters(self) -> list[nn.Parameter]:
        return [self.bound]

    def plan(self, budget: Budget) -> Plan:
        return Plan(self.config.problems_per_iteration, self.config.samples_per_problem)

    def learn(self, groups: Sequence[Group], budget: Budget, observer: Observer = SILENT) -> Metrics:
        batch = self.batch(groups)
        loss = (self.bound - batch.length.float()).square().mean()
        self.optimizer.backward(loss)
        self.step(batch, self.config.lr, float(loss.detach()), observer)
        return {"loss": float(loss.detach()), "updates": 1.0}

    def evaluator(self, held_out: HeldOut) -> LengthEvaluator:
        return LengthEvaluator(held_out, self)

    def save(self, out: Path) -> None:
        (out / "bound.json").write_text(json.dumps(float(self.bound.detach())))

    def state_dict(self) -> dict[str, Tensor]:
        return {"bound": self.bound.detach()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.bound.data.copy_(state["bound"])


def test_a_kind_of_agent_that_nobody_knows_trains_and_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AGENTS, "_entries", {**AGENTS._entries, "length_bound": LengthBound})
    config = describe_run("length_bound", ENV, {**SMALL, "lr": 5.0}, iterations=3)
    out = tmp_path / "run"
    summary = train(config, out, quiet=True)
    # the first step of AdamW is the learning rate: from 0 to 5, and on from there towards answers of 8 tokens
    bounds = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert bounds[1]["loss"] > bounds[2]["loss"]
    assert summary["bound"] == json.loads((out / "bound.json").read_text()) > 5
    assert (summary["rollouts"], summary["updates"]) == (12, 3)
    lengths = [s.length for s in read_samples(out / EVALUATION)]
    assert summary["after"] == sum(length <= summary["bound"] for length in lengths) / 4
    assert not (out / "policy").exists()
    assert not (out / "scorer").exists()
    assert not (out / "rollouts").exists()


def test_a_session_is_built_of_one_policy_and_one_sampler_and_leaves_nothing_behind(tmp_path: Path) -> None:
    session = build(describe_run("grpo", ENV, {**SMALL, "beta": 0.0}), tmp_path / "run")
    assert isinstance(session.method, GRPO)
    assert session.method.policy is session.policy
    assert isinstance(session.evaluator, GreedyEvaluator)
    assert session.held_out.sampler is session.sampler
    assert session.evaluator.held_out is session.held_out
    settled = session.settled(session.config)
    assert (settled.dtype, settled.env_keys["max_tokens"]) == ("float32", 8)
    assert session.held_out.problems == range(4)
    assert not list(tmp_path.iterdir())


def test_an_evaluation_and_an_examination_draw_with_the_sampler_of_their_settings(tmp_path: Path) -> None:
    measured = EvalConfig(env=ENV, env_keys=EASY, problems=2)
    by_torch, by_hf = (assess(replace(measured, sampler=name), quiet=True) for name in ("torch", "hf"))
    assert by_torch == by_hf
    findings = {finding.name: finding for finding in examine(DoctorConfig(env=ENV, env_keys=EASY, sampler="hf"))}
    assert findings["gap"].state == "fine"
    for misplaced in (
        lambda: assess(replace(measured, address="http://nowhere"), quiet=True),
        lambda: examine(DoctorConfig(env=ENV, address="http://nowhere")),
    ):
        with pytest.raises(UserError, match="only sampler=vllm can be at an address"):
            misplaced()


def test_goals_of_a_stored_policy_are_set_before_its_answers_and_negated_beside_them(tmp_path: Path) -> None:
    tiny_policy(0).save(tmp_path / "policy", Goals("A", "B"))
    out = tmp_path / "answers.parquet"
    figures = assess(EvalConfig(policy=str(tmp_path), env=ENV, env_keys=EASY, problems=4), out=out, quiet=True)
    assert {"greedy_accuracy", "greedy_accuracy B"} <= figures.keys()
    plain = tmp_path / "plain.parquet"
    assess(EvalConfig(env=ENV, env_keys=EASY, problems=4), out=plain, quiet=True)
    assert [s.text for s in read_samples(out)] != [s.text for s in read_samples(plain)]
    with pytest.raises(UserError, match="writes behind goals; examine the policy that it was trained from"):
        examine(DoctorConfig(policy=str(tmp_path), env=ENV, env_keys=EASY))
