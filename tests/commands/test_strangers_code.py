"""What lies in a folder is data: no command runs code that its files name, unless a person asks for that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reasonenv import load_run
from reasonenv.cli import main
from reasonenv.errors import UserError
from reasonenv.registry import load, refusing_code

Complaint = Callable[[list[str]], str]  # the one line of a command that is refused

EVIL = """
from pathlib import Path
from reasonenv import Problem, Task, register_task
from reasonenv.agents.grpo import GRPO
from reasonenv.mdp.dynamics import Dynamics
from reasonenv.sampling.torch.torch_sampler import TorchSampler as Sampler
from reasonenv.verify.grade import verify_math

Path(MARK).touch()

class Agent(GRPO):
    pass

def task(split="train"):
    return Task("Evil", split, [Problem(f"{split}/{n}", f"{n}?", str(n)) for n in range(8)], verify_math, max_tokens=8)

def reward(problem, before, after):
    return 0.0

register_task("Evil", task)
"""

SUITE = """
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0]
[keys]
operands = 2
operators = "+"
size = 8
max_tokens = 8
eval_problems = 2
problems_per_iteration = 2
[inits.prior]
iterations = 0
[agents.grpo]
iterations = 1
samples_per_problem = 2
"""
RECORD = {"name": "s", "baseline": "initial", "ks": [1], "margin": 0.02, "versions": {}, "cells": []}
RECORD |= {"scale": None, "command": "reasonenv bench run s"}

# What a suite file may name, each in place of something above.
NAMING = {
    "agent": ("[agents.grpo]", '[agents.evil]\nagent = "evil.py:Agent"'),
    "agent by its label": ("[agents.grpo]", '[agents."evil.py:Agent"]'),
    "agent of a module": ("[agents.grpo]", '[agents.evil]\nagent = "evil:Agent"'),
    "environment": ("reasonenv/Chain-Response-v0", "evil.py:reasonenv/Evil-Response-v0"),
    "reward": ("[keys]", '[keys]\nreward = "evil.py:reward"'),
    "a sum of rewards": ("[keys]", '[keys]\nreward = "sparse+evil.py:reward"'),
    "dynamics": ("[keys]", '[keys]\nstochastic = "evil.py:Slip:0.1"'),
    "several dynamics": ("[keys]", '[keys]\nstochastic = "sticky:0.1+evil.py:Slip:0.1"'),
    "a reply": ("[keys]", '[keys]\nreplies = "retry:2+evil.py:reward"'),
    "a list of replies": ("[keys]", '[keys]\nreplies = ["evil.py:reward"]'),
    "a tool": ("[keys]", '[keys]\ntools = "calculator+evil.py:reward"'),
    "a sandbox of a tool": ("[keys]", '[keys]\ntools = "python:evil.py:Agent"'),
    "a server": ("[keys]", '[keys]\ntools = "mcp:evil.py"'),
    "sampler": ("[keys]", '[keys]\nsampler = "evil.py:Sampler"'),
    "curriculum": ("[keys]", '[keys]\ncurriculum = "reward:evil.py:reward,sparse"'),
    "of the standard library": ("[keys]", '[keys]\nreward = "os:system"'),
    "of the package": ("[keys]", '[keys]\nreward = "reasonenv.storage:replace"'),
}
NAMED_BY_A_TOOL = ("a sandbox of a tool", "a server")


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a suite in which a file waits to be run; what it leaves then is returned."""
    mark = tmp_path / "it ran"
    (tmp_path / "evil.py").write_text(EVIL.replace("MARK", repr(str(mark))))
    (tmp_path / "suite.json").write_text(json.dumps(RECORD))
    monkeypatch.chdir(tmp_path)
    return mark


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize("kind", NAMING)
@pytest.mark.parametrize(
    "command", ["resume .", "run suite.toml", "run suite.toml --dry-run", "tune suite.toml --out t"]
)
def test_a_suite_of_a_folder_runs_no_code(kind: str, command: str, evil: Path, complaint: Complaint) -> None:
    text = SUITE.replace(*NAMING[kind])
    assert text != SUITE
    if command.startswith("tune"):
        text += "[tune]\nlr = [1e-4, 1e-3]\nseeds = [7]\n"
    Path("suite.toml").write_text(text)
    if command.endswith("--dry-run") and kind in NAMED_BY_A_TOOL:
        assert main(["bench", *command.split()]) == 0
        assert not evil.exists()  # no tool is made, so nothing that it names is looked for
        return
    line = complaint(["bench", *command.split()])
    assert not evil.exists()
    if kind != "curriculum":  # which is no place for a name with a colon
        assert "names code, " in line
        assert "--trust-code" in line


@pytest.mark.usefixtures("own_registry")
def test_code_that_is_trusted_runs(evil: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("suite.toml").write_text(SUITE.replace(*NAMING["agent"]))
    main(["bench", "resume", ".", "--trust-code"])
    assert evil.exists()
    assert "names code" not in capsys.readouterr().err


@pytest.mark.usefixtures("own_registry")
def test_a_suite_file_that_stands_alone_is_a_persons_choice(evil: Path) -> None:
    Path("suite.json").unlink()
    Path("suite.toml").write_text(SUITE.replace(*NAMING["agent"]))
    assert main(["bench", "run", "suite.toml", "--dry-run"]) == 0
    assert evil.exists()


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("env", "evil.py:reasonenv/Evil-Response-v0"),
        ("reward", "evil.py:reward"),
        ("stochastic", "evil.py:Slip:0.1"),
        ("replies", "evil.py:reward"),
        ("tools", "evil.py:reward"),
        ("tools", "mcp:evil.py"),
    ],
)
def test_an_evaluation_runs_no_code_that_the_run_names(
    key: str, value: str, prior: Path, evil: Path, complaint: Complaint
) -> None:
    shutil.copytree(prior, "run")
    record = json.loads(Path("run/run.json").read_text())
    if key == "env":
        record["env"], record["env_keys"] = value, {}
    else:
        record["env_keys"][key] = value
    Path("run/run.json").write_text(json.dumps(record))
    line = complaint(["eval", "run", "--problems", "1"])
    assert f"run names code, '{value.removesuffix(':0.1')}'" in line
    assert not evil.exists()
    for command in (["report", "run"], ["compare", "run", "run"], ["diff", "run", "run"]):
        main([*command])
        assert not evil.exists()
    with pytest.raises(UserError, match="names code"):
        load_run("run").resume(iterations=record["iterations"] + 1, fresh_optimizer=True, changed_code=True)
    assert not evil.exists()
    main(["train", "grpo", "reasonenv/Chain-Response-v0", "--policy", "run", "--out", "run"])
    main(["doctor", "run", "reasonenv/Chain-Response-v0", "problems=1", "samples=2"])
    assert not evil.exists()


@pytest.mark.usefixtures("own_registry")
def test_what_a_person_types_runs(prior: Path, evil: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(prior, "run")
    assert main(["eval", "run", "--problems", "1", "reward=sparse+evil.py:reward", "--json"]) == 0
    assert evil.exists()


def test_a_refusal_ends_with_its_block_and_is_of_every_name(evil: Path) -> None:
    with refusing_code("here", ["a.py:F", "sparse+b.py:g", "c.py:D:0.5"]):
        from reasonenv.mdp.rewards import REWARDS

        for reference in ("a.py:F", "b.py:g", "c.py:D"):
            with pytest.raises(UserError, match="there is no file"):
                REWARDS.find(reference)
        with pytest.raises(UserError, match=r"here names code, 'evil\.py:reward'"):
            REWARDS.find("evil.py:reward")
        assert callable(REWARDS.find("sparse")) or REWARDS.find("sparse")
    assert not evil.exists()
    assert callable(load("evil.py:reward"))


def in_folder(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """The command as an installed script runs it: the working folder is not on the path."""
    program = "import sys; sys.path.remove(''); from reasonenv.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    words = [sys.executable, "-c", program, *command]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["kernels", "selectors", "matplotlib", "gguf", "reasoning_gym", "sitecustomize"])
def test_a_module_in_the_working_folder_is_not_imported_for_another(name: str, prior: Path, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'it ran')!r}, 'w').close()")
    for command in (("report", str(prior), "--out", "page"), ("list", "suites")):
        done = in_folder(tmp_path, *command)
        assert (done.returncode, (tmp_path / "it ran").exists()) == (0, False), done.stderr


def test_a_cell_is_started_from_no_module_of_the_working_folder(tmp_path: Path) -> None:
    """The server that cells are forked from imports `selectors` before it knows the path of its parent."""
    for name in ("selectors", "signal", "socket"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'it ran')!r}, 'w').close()")
    (tmp_path / "suite.toml").write_text(SUITE)
    done = in_folder(tmp_path, "bench", "run", "suite.toml", "--out", "s", "--jobs", "1")
    assert not (tmp_path / "it ran").exists(), done.stderr
    assert (tmp_path / "s" / "cells").is_dir(), done.stderr


def test_a_run_that_was_gone_on_with_is_trusted_no_more_than_before(prior: Path) -> None:
    assert not load_run(prior).resume(quiet=True).trust_code
    assert load_run(prior, trust_code=True).resume(quiet=True).trust_code
