"""Rewards of a user's own, by file, registration, task and installed package, wherever a reward can be named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import reasonenv
from reasonenv.learn.checkpoint import saved
from reasonenv.mdp.rewards import REWARDS
from reasonenv.measures.samples import read_samples

TASK = '''
from reasonenv import from_problems, register_task

def near(text, answer, weight):
    """Partial credit for the number of digits."""
    return weight * (len(text) == len(answer))

rows = [{"question": f"{n}+1?", "answer": n + 1, "weight": 0.5, "parity": n % 2} for n in range(10, 30)]
register_task("Own", from_problems(rows, test=0.3, max_tokens=8, rewards={"near": near},
                                   metrics={"ended": lambda after: after.terminated}))
'''.lstrip()
REWARD = "def bonus(text, problem):\n    return 0.25 * ('1' in text)\n"
SMALL = ("problems_per_iteration=2", "samples_per_problem=2", "eval_problems=4", "iterations=2", "eval_samples=2")
SUITE = """
envs = ["own.py:reasonenv/Own-Response-v0"]
seeds = [0]
ks = [1, 2]
without_signal = true
keys = { eval_problems = 4, problems_per_iteration = 2, reward = "near+bonus.py:bonus" }
inits.prior = { iterations = 1 }
agents.grpo = { iterations = 1, samples_per_problem = 2 }
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_registry: None) -> None:
    (tmp_path / "own.py").write_text(TASK)
    (tmp_path / "bonus.py").write_text(REWARD)
    monkeypatch.chdir(tmp_path)


def train(reward: str, *more: str, env: str = "own.py:reasonenv/Own-Response-v0") -> list[str]:
    return ["train", "grpo", env, *SMALL, f"reward={reward}", "--out", "run", "--json", *more]


def test_rewards_and_metrics_of_a_task_train_are_logged_evaluated_and_reported(call: Callable[..., Any]) -> None:
    code, _, err = call(*train("near+bonus.py:bonus"))
    assert (code, err.count("UserError")) == (0, 0)
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    for row in (rows[0], rows[-1]):  # with an evaluation
        assert 0 <= row["eval/metrics/ended"] <= 1
    assert {"score", "metrics/ended"} <= rows[1].keys()
    # an untrained policy writes no 8 bytes with an end in most responses: what ended is what was not cut
    assert rows[1]["metrics/ended"] == pytest.approx(1 - rows[1]["truncated"])
    samples = read_samples(Path("run/evaluation.parquet"))
    assert [sample.metrics for sample in samples] == [{"ended": float(not sample.truncated)} for sample in samples]
    problems = [json.loads(line) for line in Path("run/problems.jsonl").read_text().splitlines()]
    assert {problem["meta"]["weight"] for problem in problems} == {0.5}

    assert {"own.py", "bonus.py"} <= json.loads(Path("run/run.json").read_text())["code"]["files"].keys()
    code, out, _ = call("eval", "run", "--problems", "4", "--samples", "2", "--json", "--trust-code")
    assert code == 0
    assert {"ended", "ended@2", "score"} <= json.loads(out).keys()
    assert "names code" in call("eval", "run", "--problems", "4")[2]
    assert call("report", "run")[0] == 0

    Path("bonus.py").write_text(REWARD.replace("0.25", "0.5"))
    assert "bonus.py is not what it was" in call(*train("near+bonus.py:bonus"))[2]


def test_the_name_of_a_suites_cell_knows_the_code_of_a_tasks_reward(call: Callable[..., Any]) -> None:
    Path("suite.toml").write_text(SUITE)
    assert call("bench", "run", "suite.toml", "--out", "out", "--jobs", "1")[0] == 0
    cells = {path.name for path in Path("out/cells").iterdir() if path.name.startswith("grpo")}
    (cell,) = cells
    assert json.loads((Path("out/cells") / cell / "cell.json").read_text())["status"] == "done"
    Path("bonus.py").write_text(REWARD.replace("0.25", "0.5"))
    assert call("bench", "run", "suite.toml", "--out", "out", "--jobs", "1")[0] == 0
    assert len([path for path in Path("out/cells").iterdir() if path.name.startswith("grpo")]) == 2
    Path("suite.toml").write_text(SUITE.replace("near+", "naer+"))
    assert "unknown reward 'naer'; did you mean near" in call("bench", "run", "suite.toml", "--out", "out")[2]


def test_a_registered_reward_is_known_by_its_name(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REWARDS, "_entries", dict(REWARDS._entries))
    reasonenv.register_reward("bonus", "bonus.py:bonus")
    reasonenv.register_reward("both", {"a": lambda text: 0.5, "b": lambda text: 0.25})
    code, _, _ = call(*train("bonus+both", "max_tokens=8", env="reasonenv/Chain-Response-v0"))
    assert code == 0
    row = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[1])
    assert row["reward"] >= 0.75


FAILING = """
calls = []

def late(after):
    calls.append(after)
    assert len(calls) <= LIMIT, "late"
    return after.length
"""


def test_a_reward_that_fails_late_loses_no_iteration(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # 4 held-out answers, then 4 rollouts an iteration: it fails in the fourth, three are learned from
    Path("late.py").write_text(FAILING.replace("LIMIT", str(4 + 3 * 4)))
    monkeypatch.setattr("reasonenv.learn.loop.SAVING_SHARE", 1e-9)  # after the first, no checkpoint is due for hours
    words = train("late.py:late", "max_tokens=8", "iterations=6", env="reasonenv/Chain-Response-v0")
    code, _, err = call(*words)
    assert code == 2
    assert "reasonenv: reward 'late' failed on chain/" in err
    assert "AssertionError: late" in err
    assert saved(Path("run/checkpoints"))[-1].name == "00000003"
    rows = Path("run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["iteration"] for row in rows] == [0, 1, 2, 3]


HARD = """
from reasonenv import Reason, Verdict, from_problems, register_task

def verify(text, problem):
    if "17" in problem.question or problem.id.endswith("/3"):
        return Verdict(Reason.TIMEOUT, None, problem.answer)
    return len(text) / 100

rows = [(f"{n}+1?", n + 1) for n in range(10, 30)]
register_task("Hard", from_problems(rows, test=0.3, max_tokens=8, verifier=verify, name="Hard"))
"""


def test_problems_that_are_hard_to_verify_are_listed_and_stop_nothing(call: Callable[..., Any]) -> None:
    Path("hard.py").write_text(HARD)
    env = "hard.py:reasonenv/Hard-Response-v0"
    keys = ("problems_per_iteration=14", "samples_per_problem=2", "iterations=1", "eval_problems=6")
    code, out, err = call("train", "sft", env, "iterations=8", "problems_per_iteration=14", "lr=3e-3", "--out", "prior")
    assert code == 0
    code, out, err = call("train", "grpo", env, *keys, "--policy", "prior", "--out", "run")
    assert code == 0
    summary = json.loads(Path("run/summary.json").read_text())["hard_to_verify"]
    listed = set(summary["training"]) | set(summary["held_out"])
    assert listed == {"Hard/3", "Hard/7"}  # 10 + 7 is 17
    row = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[1])
    assert row["verifier_errors"] == 0.0
    assert set(row.get("hard_problems", ())) == set(summary["training"])
    assert all(problem in out + err for problem in listed)


PACKAGE = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "paying"
version = "1.0"
[project.entry-points."reasonenv.rewards"]
paid = "paying:paid"
[tool.setuptools]
py-modules = ["paying"]
"""


def test_a_reward_of_an_installed_package_trains_and_is_code_of_the_run(tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "lib" / "site-packages"
    source.mkdir()
    (source / "pyproject.toml").write_text(PACKAGE)
    (source / "paying.py").write_text("def paid(after):\n    return 1.0 if after.over else 0.0\n")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True, capture_output=True)
    words = train("paid", "max_tokens=8", env="reasonenv/Chain-Response-v0")
    program = f"import sys; sys.path.append({str(site)!r})\nfrom reasonenv.cli import main\nsys.exit(main({words!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("reasonenv:")) == (0, 0), done.stderr
    assert json.loads(Path("run/metrics.jsonl").read_text().splitlines()[1])["reward"] == 1.0
    assert "paying.py" in json.loads(Path("run/run.json").read_text())["code"]["files"]
