"""What an agent reports while it learns, and the log that goes to loggers of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reasonenv.agents.ei import ExpertIteration
from reasonenv.agents.grpo import GRPO, GRPOConfig
from reasonenv.core import Group
from reasonenv.learn import log
from reasonenv.learn.agent import Budget
from reasonenv.learn.observer import Observer
from reasonenv.policy.tiny import tiny_policy


class Notes(Observer):
    """Keeps all that is reported."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.updates: list[tuple[Budget, Sequence[Group], Tensor]] = []

    def doing(self, what: str) -> None:
        self.texts.append(what)

    def update(self, budget: Budget, groups: Sequence[Group], advantage: Tensor) -> None:
        self.updates.append((budget, groups, advantage))


def test_an_update_is_reported_once_and_changes_nothing(groups: list[Group]) -> None:
    silent, observed = (GRPO(tiny_policy(0), GRPOConfig(epochs=2, beta=0.0, lr=1e-3)) for _ in range(2))
    notes = Notes()
    assert silent.learn(groups, Budget(3, 9)) == observed.learn(groups, Budget(3, 9), notes)
    states = silent.state_dict(), observed.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    ((budget, shown, advantage),) = notes.updates
    assert (budget, shown) == (Budget(3, 9), groups)
    # 2 of 4 right: +-1 / (sqrt(1/3) x 2) = +-0.866; all four right: 0
    assert advantage[:4, 0].tolist() == pytest.approx([0.866, 0.866, -0.866, -0.866], abs=1e-3)
    assert advantage[8:].abs().max() == 0


def test_a_long_round_says_how_far_it_is(groups: list[Group]) -> None:
    agent, notes = ExpertIteration(tiny_policy(0)), Notes()
    agent.learn(groups, Budget(0, 1), notes)
    steps = agent.config.epochs  # each problem has one path, so all solutions are one step
    assert notes.texts == [f"imitating 3 solutions, step {i + 1}/{steps}" for i in range(steps)]


class Recorder:
    """A logger that keeps what it gets."""

    def __init__(self, settings: Mapping[str, Any], first: int | None) -> None:
        self.settings, self.first = settings, first
        self.points: list[tuple[Mapping[str, float], int]] = []
        self.texts: list[tuple[str, int]] = []
        self.closed = False

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self.points.append((values, step))

    def text(self, name: str, text: str, step: int) -> None:
        self.texts.append((name, step))

    def close(self) -> None:
        self.closed = True


def test_a_log_goes_to_every_registered_logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Recorder] = []

    def recorder(out: Path, settings: Mapping[str, Any], first: int | None) -> Recorder:
        made.append(Recorder(settings, first))
        return made[-1]

    monkeypatch.setattr(log.LOGGERS, "_entries", {**log.LOGGERS._entries, "recorder": recorder})
    loggers = partial(log.Loggers, "recorder", tmp_path, {"lr": 0.1})
    run_log = log.RunLog(tmp_path, iteration=0, used=0, budget=1, unit="rollouts", loggers=loggers, quiet=True)
    run_log.row({"iteration": 2, "loss": 0.5, "gap/mean": 0.1, "entropy": float("nan")})
    run_log.answers(2, [("1+1=?", "2", "correct")])
    run_log.close()
    log.log_curve(loggers(None), "eval/pass@k", {1: 0.25, 2: 0.5})
    rows, curve = made
    assert (rows.settings, rows.first, curve.first) == ({"lr": 0.1}, 1, None)
    assert rows.points == [({"train/iteration": 2, "train/loss": 0.5, "gap/mean": 0.1}, 2)]
    assert rows.texts == [("answers/0", 2)]
    assert curve.points == [({"eval/pass@k": 0.25}, 1), ({"eval/pass@k": 0.5}, 2)]
    assert rows.closed
    assert curve.closed
    assert not (tmp_path / "tensorboard").exists()
