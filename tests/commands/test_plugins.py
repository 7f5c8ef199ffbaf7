"""A task and an agent of the user's own, in less than 15 lines each, train from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import reasonenv
from reasonenv import catalog
from reasonenv.cli import main
from reasonenv.registry import load

TASK = """
from reasonenv import Problem, Task, register_task
from reasonenv.verify.grade import verify_math

def doubling(split="train", size=12, factor: int | None = None):
    start = 50 if split == "test" else 10
    numbers = range(start, start + size)
    problems = [Problem(f"{split}/{n}", f"2*{n}=?", str((factor or 2) * n)) for n in numbers]
    return Task("Doubling", split, problems, verify_math, max_tokens=8)

register_task("Doubling", doubling)
""".lstrip()

AGENT = """
from dataclasses import dataclass
from reasonenv.agents.grpo import GRPO, GRPOConfig

@dataclass(frozen=True)
class CentredConfig(GRPOConfig):
    centred: bool = True

class Centred(GRPO):
    Config = CentredConfig

    def advantage(self, batch):
        reward = batch.rewards.sum(dim=1, keepdim=True)
        return reward - reward.mean() if self.config.centred else reward
""".lstrip()

SMALL = ["--iterations", "2", "problems_per_iteration=2", "samples_per_problem=2", "eval_problems=2", "--json"]


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "doubling.py").write_text(TASK)
    (tmp_path / "math.py").write_text(AGENT)  # a name of the standard library, to be kept apart from it
    monkeypatch.chdir(tmp_path)
    assert max(len(text.splitlines()) for text in (TASK, AGENT)) < 15


@pytest.mark.usefixtures("own_registry", "own_files")
def test_a_task_and_an_agent_in_files_train(capsys: pytest.CaptureFixture[str]) -> None:
    task = "doubling.py:reasonenv/Doubling-Response-v0"
    assert main(["train", "math.py:Centred", task, "size=4", "centred=false", "--out", "run", *SMALL]) == 0
    assert json.loads(capsys.readouterr().out)["rollouts"] == 2 * 2 * 2
    run = json.loads(Path("run/run.json").read_text())
    assert run["env_keys"].items() >= {"size": 4, "factor": None, "reward": "sparse", "max_tokens": 8}.items()
    assert (run["agent_keys"]["centred"], run["dtype"]) == (False, "float32")
    # the reward itself is the advantage, and nothing that an untrained policy says is right
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [row["advantage/zero"] for row in rows[1:]] == [1.0, 1.0]
    import math

    assert math.sqrt(4) == 2
    assert main(["eval", "run", "Doubling-Token-v0", "--problems", "2", "--json"]) == 0


@pytest.mark.usefixtures("own_registry", "own_files")
def test_what_a_program_registers_trains_and_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    reasonenv.register_task("Doubled", load("doubling.py:doubling"))
    reasonenv.register_agent("centred", "math.py:Centred")
    assert main(["list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "reasonenv/Doubled-Step-v0" in told["envs"]
    assert "centred" in told["agents"]
    assert main(["train", "centred", "reasonenv/Doubled-Response-v0", "factor=none", "--out", "run", *SMALL]) == 0


@pytest.mark.usefixtures("own_registry", "own_files")
def test_types_of_keys_come_from_annotations_and_defaults() -> None:
    settings = catalog.task_settings("doubling.py:doubling")
    assert {key: s.meaning for key, s in settings.items()} == {"split": "str", "size": "int", "factor": "int or None"}


def test_the_agent_of_the_readme_changes_the_advantage_alone_and_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prior: Path
) -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    blocks = [block.partition("```")[0] for block in readme.split("```python\n# mine.py\n")[1:]]
    code = next(block for block in blocks if "class Centred" in block)
    command = next(line for line in readme.splitlines() if line.startswith("reasonenv train mine.py:"))
    assert 0 < len(code.splitlines()) <= 15
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    command = command.removesuffix("\\")  # the settings are on the next line; those of this test are smaller
    words = [str(prior) if word == "runs/prior" else word for word in command.split()[1:]]
    assert main([*words, "operands=2", "operators=+", "max_tokens=16", *SMALL]) == 0
    last = json.loads((tmp_path / words[words.index("--out") + 1] / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["iteration"] == 2


@pytest.mark.usefixtures("own_files")
def test_a_file_is_read_once() -> None:
    # else the class that was checked is not the class that trains
    assert catalog.find_agent("math.py:Centred") is catalog.find_agent("math.py:Centred")


FAILING = """
from reasonenv.agents.grpo import GRPO

class Failing(GRPO):
    def METHOD(self, *args, **kwargs):
        return {}["no such key"]
"""


@pytest.mark.usefixtures("own_files")
@pytest.mark.parametrize("method", ["__init__", "plan", "advantage", "learn", "state_dict", "groups_missing", "save"])
def test_an_agent_that_fails_is_one_line_that_names_its_own(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("failing.py").write_text(FAILING.replace("METHOD", method))
    command = ["train", "failing.py:Failing", "reasonenv/Chain-Response-v0", "operands=2", "max_tokens=8", *SMALL]
    assert main([*command, "--out", "run"]) == 2
    out, complaint = capsys.readouterr()
    assert out == ""
    assert complaint.startswith("reasonenv: ")
    assert complaint.count("\n") == 1
    assert "KeyError: 'no such key'" in complaint
    assert f"failing.py, line 6, Failing.{method}" in complaint


REWARD = """
def reward(problem, before, after):
    raise SystemError("of mine")
"""


@pytest.mark.usefixtures("own_files")
def test_a_reward_that_fails_is_one_line_that_names_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("reward.py").write_text(REWARD)
    command = ["train", "grpo", "reasonenv/Chain-Response-v0", "operands=2", "max_tokens=8", "reward=reward.py:reward"]
    assert main([*command, *SMALL, "--out", "run"]) == 2
    assert "SystemError: of mine" in capsys.readouterr().err


NOT_FINITE = """
from reasonenv.agents.grpo import GRPO

class NotFinite(GRPO):
    def advantage(self, batch):
        return super().advantage(batch) * float("nan") + float("nan")
"""


@pytest.mark.usefixtures("own_files")
def test_a_run_that_took_no_step_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Path("nan.py").write_text(NOT_FINITE)
    command = ["train", "nan.py:NotFinite", "reasonenv/Chain-Response-v0", "operands=2", "max_tokens=8", *SMALL[:-1]]
    assert main([*command, "--out", "run"]) == 0
    said = "".join(capsys.readouterr())
    assert "2 optimiser steps were not taken: their loss or gradient was not finite" in said
    assert "nothing was trained: no optimiser step was taken" in said
    assert "policy: run/policy" not in said
    assert "iteration 0: 1 of 1 optimiser steps were not taken" in said
    assert json.loads(Path("run/summary.json").read_text())["skipped"] == 2
