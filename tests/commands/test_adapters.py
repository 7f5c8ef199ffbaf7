"""Runs that train an adapter: what they keep, and that others can go on from there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from reasonenv.cli import main

pytest.importorskip("peft")

ENV = "reasonenv/Chain-Response-v0"
TASK = ("operands=2", "operators=+", "size=16", "max_tokens=16")
SMALL = (*TASK, "eval_problems=4", "eval_every=2", "samples_per_problem=4", "problems_per_iteration=4")


def tensors(out: Path) -> set[str]:
    folder = max((out / "checkpoints").iterdir())
    with safe_open(folder / "state.safetensors", "pt") as file:
        return set(file.keys())


@pytest.mark.parametrize(
    ("agent", "keys"),
    [
        ("grpo", ("lr=1e-3", "checkpointing=true")),  # beta above 0: the reference is the adapter switched off
        ("ppo", ("epochs=1", "minibatches=1", "separate_critic=true")),
        ("ei", ("epochs=1",)),  # each round from the initial policy
    ],
)
def test_an_agent_trains_an_adapter_and_keeps_nothing_else(
    agent: str, keys: tuple[str, ...], prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["train", agent, ENV, *SMALL, *keys, "lora=4", "--policy", str(prior), "--iterations", "2"]
    assert main([*words, "--out", str(out), "--json"]) == 0
    weights = {name for name in tensors(out) if name.startswith("policy.")}
    assert weights
    assert all(".lora_" in name for name in weights)
    assert (out / "policy" / "adapter_model.safetensors").is_file()
    assert not (out / "policy" / "model.safetensors").exists()
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert all(row.get("gap/max", 0.0) < 1e-3 for row in rows)  # sampler and trainer agree on the sum
    if agent == "grpo":
        capsys.readouterr()
        assert main(["eval", str(out), ENV, *TASK, "--problems", "4", "--json"]) == 0
        more = [
            "train",
            "grpo",
            ENV,
            *SMALL,
            "--policy",
            str(out),
            "--iterations",
            "1",
            "--out",
            str(tmp_path / "more"),
        ]
        assert main([*more, "--json"]) == 0
        assert (tmp_path / "more" / "policy" / "adapter_config.json").is_file()
        assert main([*more[:-1], str(tmp_path / "other"), "lora=4"]) == 2
        assert "has an adapter already" in capsys.readouterr().err


def test_a_rank_below_one_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "grpo", ENV, "lora=0", "--out", str(tmp_path / "run")]) == 2
    assert "lora is 0; it must be at least 1" in capsys.readouterr().err
