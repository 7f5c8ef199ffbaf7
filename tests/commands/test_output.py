"""What the commands say, to people and to programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from reasonenv.agents.grpo import GRPOConfig
from reasonenv.cli import COMMANDS, main
from reasonenv.measures.samples import read_samples
from reasonenv.settings import as_text, settings_of

SUITES = ("bench run", "bench resume", "bench report")


@pytest.mark.parametrize("command", ["", *COMMANDS, *SUITES])
def test_every_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"example: reasonenv {command.split()[0] if command else ''}".strip() in shown


def test_help_after_an_agent_shows_its_settings_with_default_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    def told(*words: str) -> str:
        assert main(["train", *words, "--help"]) == 0
        return capsys.readouterr().out

    alone, agent, both = told(), told("grpo"), told("grpo", "reasonenv/Chain-Response-v0")
    assert "eps: the ratio is clipped" not in alone
    for shown in (agent, both):
        lines = [line.split(maxsplit=2) for line in shown.splitlines()]
        assert ["clip", "0.2", "eps: the ratio is clipped to 1 - eps and 1 + eps (PPO: 0.2)"] in lines
        assert all([s.key, as_text(s.default), s.meaning] in lines for s in settings_of(GRPOConfig).values())
        assert ["eval_every", "10", "iterations between evaluations"] in lines
        assert "2402.03300" in shown
    assert "operands" not in agent
    assert "--help behind ENV shows its settings too" in agent
    lines = [line.split(maxsplit=2) for line in both.splitlines()]
    assert ["operands", "3", "int"] in lines
    assert ["reward", "sparse", "sparse, score, dense, ordered, potential, format, overlong"] in lines


def test_help_after_an_unknown_agent_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "gprpo", "--help"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_every_agent_is_listed_with_its_idea_and_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "agents", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["agents"]
    assert "uniform" in told.pop("random_tokens")  # the one idea that nobody had to write down
    for name, text in told.items():
        idea, source = text.rstrip(".").rsplit(". ", 1)
        assert len(idea) > 20, name
        assert re.search(r"\b\d{4}\.\d{5}\b|\((19|20)\d\d\)$", source), name


def test_list_shows_all_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    ids = {f"reasonenv/{t}-{g}-v0" for t in ("Chain", "GSM8K", "SVAMP") for g in ("Token", "Step", "Response")}
    assert ids <= set(told["envs"])
    assert {"sft", "ei", "grpo"} <= set(told["agents"])
    assert {"tiny", "smollm2-135m"} <= set(told["policies"])
    assert "quickstart" in told["suites"]
    assert all(told["agents"][name] for name in ("sft", "ei", "grpo"))
    assert main(["list"]) == 0
    lines = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert lines == {*told, *(name for rows in told.values() for name in rows)}
    assert main(["list", "agents", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"agents": told["agents"]}


def test_both_names_of_the_command_are_the_same() -> None:
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["scripts"]
    module, function = declared["reasonenv"].split(":")
    start = f"import sys; from {module} import {function}; sys.argv[0] = 'reasonenv'; sys.exit({function}())"
    for arguments, code in ((["train", "--help"], 0), (["train", "grpo", "reasonenv/Chian-Step-v0", "--out", "x"], 2)):
        ended = [
            subprocess.run([sys.executable, *how, *arguments], capture_output=True, text=True)
            for how in (["-c", start], ["-m", "reasonenv"])
        ]
        told = [(run.returncode, run.stdout, run.stderr) for run in ended]
        assert told[0] == told[1]
        assert told[0][0] == code


def test_train_and_eval_print_json_and_nothing_else(
    prior: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    keys = ["operands=2", "operators=+", "max_tokens=16"]
    options = ["--samples", "2", "--problems", "8", "--out", str(tmp_path / "answers.parquet"), "--json"]
    capfd.readouterr()
    assert main(["eval", str(prior), "reasonenv/Chain-Response-v0", *keys, *options]) == 0
    out, complaint = capfd.readouterr()
    told = json.loads(out)
    assert complaint == ""
    assert {"greedy_accuracy", "maj@2", "pass@2"} <= set(told)
    assert all(0 <= e["low"] <= e["value"] <= e["high"] <= 1 and e["n"] == 8 for e in told.values())
    # one greedy and two sampled answers a problem
    assert len(read_samples(tmp_path / "answers.parquet")) == 8 * 3

    options = ["--iterations", "1", "size=4", "eval_problems=2", "--out", str(tmp_path / "run"), "--json"]
    assert main(["train", "sft", "reasonenv/Chain-Response-v0", *keys, *options]) == 0
    out, complaint = capfd.readouterr()
    assert json.loads(out) == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert complaint == ""


def test_a_person_is_shown_the_same_figures(prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = ["operands=2", "operators=+", "max_tokens=16", "size=16"]
    assert main(["eval", str(prior), "reasonenv/Chain-Response-v0", *keys, "--problems", "4"]) == 0
    assert capsys.readouterr().out.startswith("greedy_accuracy")
    out = tmp_path / "run"
    settings = ["--policy", str(prior), "--iterations", "1", "problems_per_iteration=2", "eval_problems=4"]
    assert main(["train", "grpo", "reasonenv/Chain-Response-v0", *keys, *settings, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    for what in ("reward", "accuracy", "greedy accuracy", "entropy", "truncated", "verifier errors", "sampler gap"):
        assert what in said
    assert said.count("-> ") >= 3  # three answers with what was found in them
    assert f"policy: {out / 'policy'}" in said
