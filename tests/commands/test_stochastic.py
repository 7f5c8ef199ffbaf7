"""The dynamics and replies of the environment as settings of every command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reasonenv.cli import main
from reasonenv.core import Reason
from reasonenv.measures.samples import read_samples

ENV = "reasonenv/Chain-Response-v0"
EASY = ("operands=2", "operators=+", "size=16", "eval_problems=8", "eval_every=2")


@pytest.mark.parametrize(
    ("agent", "key", "value", "written"),
    [("grpo", "replies", "calculator", "="), ("scalerl", "stochastic", "interrupt:4", "Okay, time is up.")],
)
def test_an_agent_trains_in_a_process_that_writes_too(
    agent: str, key: str, value: str, written: str, prior: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    keys = (f"{key}={value}", "problems_per_iteration=4", "samples_per_problem=4", "lr=3e-4")
    settings = ("--policy", str(prior), "--iterations", "2", "--out", str(out), "--json")
    assert main(["train", agent, ENV, *EASY, *keys, *settings]) == 0
    assert json.loads((out / "run.json").read_text())["env_keys"][key] == value
    samples = read_samples(out / "evaluation.parquet")
    assert any(written in s.text for s in samples)
    assert {s.reason for s in samples} <= {str(r) for r in Reason}
    assert main(["eval", str(out), ENV, *EASY[:3], "replies=retry:2", "--problems", "4", "--json"]) == 0


def test_a_bad_spec_is_told_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "grpo", ENV, "stochastic=stickee:0.1", "--out", str(tmp_path / "run")]) == 2
    assert "did you mean sticky?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
