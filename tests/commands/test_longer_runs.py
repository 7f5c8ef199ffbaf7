"""A run with more iterations than its folder holds: it goes on exactly, or says why it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from reasonenv.cli import main
from reasonenv.learn import checkpoint
from reasonenv.learn.checkpoint import TENSORS, saved
from reasonenv.measures.pair import MEASURED

Train = Callable[[str, Path], list[str]]


def of(command: list[str], iterations: int) -> list[str]:
    words = list(command)
    words[words.index("--iterations") + 1] = str(iterations)
    return words


def rows(out: Path) -> list[str]:
    """Numbers of every iteration, but for evaluations, of which the shorter run had one at its own end."""
    kept = []
    for line in (out / "metrics.jsonl").read_text().splitlines():
        row = {key: value for key, value in json.loads(line).items() if key not in MEASURED}
        kept.append(repr({key: value for key, value in row.items() if not key.startswith("eval/")}))
    return kept


@pytest.mark.parametrize("agent", ["grpo", "ei", "ppo"])
def test_a_finished_run_goes_on_as_if_it_had_been_longer_from_the_beginning(
    agent: str, train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long, out = tmp_path / "long", tmp_path / "run"
    assert main(of(train(agent, long), 5)) == 0
    for iterations in (2, 3, 5):
        assert main(of(train(agent, out), iterations)) == 0
        assert json.loads((out / "run.json").read_text())["iterations"] == iterations
        assert json.loads((out / "summary.json").read_text())["iteration"] == iterations
    assert rows(out) == rows(long)
    for name in ("policy/model.safetensors", "evaluation.parquet", "winning.jsonl"):
        if (long / name).exists():
            assert (out / name).read_bytes() == (long / name).read_bytes(), name
    last = saved(out / "checkpoints")[-1]
    assert (last / TENSORS).read_bytes() == (saved(long / "checkpoints")[-1] / TENSORS).read_bytes()
    capsys.readouterr()
    assert main(of(train(agent, out), 4)) == 2  # not back
    assert "settings differ: iterations is 5 there, 4 here" in capsys.readouterr().err


def test_a_schedule_over_the_whole_run_is_the_reason_why_not(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curriculum = [*train("grpo", tmp_path / "levels")[:-5], "curriculum=size:8,16"]
    commands = {
        "sft": train("sft", tmp_path / "sft"),  # a cosine over the iterations
        "levels": [*curriculum, "--iterations", "4", "--out", str(tmp_path / "levels"), "--json"],
    }
    for name, command in commands.items():
        assert main(of(command, 4)) == 0
        before = {path: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        capsys.readouterr()
        assert main(of(command, 6)) == 2
        complaint = capsys.readouterr().err
        assert f"{tmp_path / name} holds a run of 4 iterations, and what it did depends on their number" in complaint
        assert f"--policy {tmp_path / name}" in complaint
        assert complaint.count("\n") == 1
        assert {path: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()} == before


def test_a_setting_that_an_older_run_does_not_name_has_its_default(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, command = tmp_path / "run", of(train("grpo", tmp_path / "run"), 2)
    assert main(command) == 0
    record = json.loads((out / "run.json").read_text())
    del record["checkpointing"], record["rank"], record["env_keys"]["stochastic"], record["agent_keys"]["warmup"]
    (out / "run.json").write_text(json.dumps(record))
    assert main(of(command, 3)) == 0
    assert json.loads((out / "run.json").read_text())["agent_keys"]["warmup"] == 0
    (out / "run.json").write_text(json.dumps({**record, "iterations": 3}))
    capsys.readouterr()
    assert main([*of(command, 3), "warmup=1"]) == 2
    assert "settings differ: warmup is 0 there, 1 here" in capsys.readouterr().err


def test_a_large_finished_run_keeps_no_optimiser_and_says_how_to_go_on(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, exact = tmp_path / "run", tmp_path / "exact"
    monkeypatch.setattr(checkpoint, "SMALL", 1)  # a byte, so that every run is large
    assert main(of(train("grpo", out), 2)) == 0
    assert main([*of(train("grpo", exact), 2), "keep_checkpoints=1"]) == 0
    (last,), (whole,) = saved(out / "checkpoints"), saved(exact / "checkpoints")
    with safe_open(last / TENSORS, "pt") as left, safe_open(whole / TENSORS, "pt") as all_of_it:
        assert {name for name in all_of_it.keys() if not name.startswith("optimizer.")} == set(left.keys())  # noqa: SIM118
    # weights and two moments of each, in float32
    assert 2.9 < (whole / TENSORS).stat().st_size / (last / TENSORS).stat().st_size < 3.1
    assert main(of(train("grpo", out), 2)) == 0  # asked again it is what it was
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(of(train("grpo", out), 4)) == 2
    complaint = capsys.readouterr().err
    assert "keeps no state of its optimiser (keep_checkpoints=1 would)" in complaint
    assert "--fresh-optimizer" in complaint
    assert complaint.count("\n") == 1
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert main([*of(train("grpo", out), 4), "--fresh-optimizer"]) == 0
    assert json.loads((out / "run.json").read_text())["fresh_optimizer"] == [2]
    assert main([*of(train("grpo", exact), 4), "keep_checkpoints=2"]) == 0
    assert "fresh_optimizer" not in json.loads((exact / "run.json").read_text())
    kept = [path.name for path in saved(exact / "checkpoints")]
    assert (len(kept), kept[-1]) == (2, "00000004")
    policies = [(folder / "policy" / "model.safetensors").read_bytes() for folder in (out, exact)]
    assert policies[0] != policies[1]  # moments that begin at 0 make other steps
