"""Tiny runs: two operands, 16 problems, a prior of eight steps that is right about one time in three."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch

from reasonenv import catalog
from reasonenv.cli import main
from reasonenv.learn.checkpoint import TENSORS, saved
from reasonenv.measures.pair import MEASURED

ENV = "reasonenv/Chain-Response-v0"
EASY = ("operands=2", "operators=+", "size=16", "max_tokens=16", "eval_problems=8", "eval_every=2")
AGENTS = {
    "sft": (8, ("problems_per_iteration=8",)),
    "ei": (4, ("samples_per_problem=2", "solutions_per_step=8", "epochs=2")),
    "grpo": (8, ("problems_per_iteration=4", "samples_per_problem=4", "minibatches=2", "lr=3e-4", "eval_samples=2")),
    "ppo": (4, ("problems_per_iteration=4", "samples_per_problem=4", "epochs=2", "minibatches=2", "lr=3e-4")),
    "dapo": (4, ("problems_per_iteration=4", "samples_per_problem=4", "lr=3e-4")),
    "rloo": (4, ("problems_per_iteration=4", "samples_per_problem=4", "lr=3e-4", "dtype=bfloat16")),
}  # iterations and settings

# Real processes that are forked from one which has imported everything: they start at once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "reasonenv.cli",
        "reasonenv.experiment.train",
        "reasonenv.sampling.torch.torch_sampler",
        "scipy.stats",
        "torch.utils.tensorboard",
        "transformers.models.auto.modeling_auto",
        "transformers.models.llama.modeling_llama",
    ]
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Here and in every process that a test starts: sums in the same order."""
    threads, before = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    torch.set_num_threads(threads)
    os.environ.pop("OMP_NUM_THREADS")
    if before is not None:
        os.environ["OMP_NUM_THREADS"] = before


@pytest.fixture(scope="session")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has learned a little. Tests read it and do not change it."""
    out = tmp_path_factory.mktemp("prior") / "run"
    keys = ("--iterations", "8", "problems_per_iteration=16", "lr=3e-3", "eval_every=8")
    assert main(["train", "sft", ENV, *EASY, *keys, "--out", str(out), "--json"]) == 0
    return out


@pytest.fixture(scope="session")
def train(prior: Path) -> Callable[[str, Path], list[str]]:
    """The command line of a small run of an agent."""

    def command(agent: str, out: Path) -> list[str]:
        iterations, keys = AGENTS[agent]
        settings = ["--policy", str(prior), "--iterations", str(iterations), "--out", str(out), "--json"]
        return ["train", agent, ENV, *EASY, *keys, *settings]

    return command


@pytest.fixture(scope="session")
def whole(train: Callable[[str, Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of an agent's run that nothing interrupted."""
    runs: dict[str, Path] = {}

    def run(agent: str) -> Path:
        if agent not in runs:
            runs[agent] = tmp_path_factory.mktemp(agent) / "run"
            assert main(train(agent, runs[agent])) == 0
        return runs[agent]

    return run


@pytest.fixture(scope="session")
def result() -> Callable[[Path], dict[str, Any]]:
    """All that a run leaves, but for times and for the events of TensorBoard, which hold them."""

    def read(out: Path) -> dict[str, Any]:
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        kept = [path for path in out.rglob("*") if "tensorboard" not in path.parts and "checkpoints" not in path.parts]
        last = saved(out / "checkpoints")[-1]
        files = [
            out / "evaluation.parquet",
            *(f for d in ("evaluations", "rollouts", "policy") for f in (out / d).iterdir()),
        ]
        return {
            "metrics": [repr({k: v for k, v in row.items() if k not in MEASURED}) for row in rows],  # nan equals nan
            "summary": {k: v for k, v in json.loads((out / "summary.json").read_text()).items() if k not in MEASURED},
            "files": sorted(str(path.relative_to(out)) for path in kept),  # nothing half written is left
            "checkpoint": (last.name, (last / TENSORS).read_bytes()),
            **{str(file.relative_to(out)): file.read_bytes() for file in files},
        }

    return read


@pytest.fixture(scope="session")
def apart() -> Callable[..., int]:
    """Calls a function in a process of its own, and returns the exit code of that."""

    def call(function: Callable[..., Any], *arguments: Any) -> int:
        child = PROCESSES.Process(target=function, args=arguments)
        child.start()
        child.join()
        assert child.exitcode is not None
        return child.exitcode

    return call


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Runs a command as a new process would, which reads the user's files again: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        for name in [n for n, m in sys.modules.items() if str(getattr(m, "__file__", "")).startswith(str(tmp_path))]:
            del sys.modules[name]
        capsys.readouterr()
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is gone after it."""
    for registry in (catalog.TASKS, catalog.AGENTS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    before = set(gymnasium.registry)
    yield
    for name in set(gymnasium.registry) - before:
        del gymnasium.registry[name]


@pytest.fixture
def damaged(prior: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the prior's policy without some files."""

    def copy(*without: str) -> Path:
        shutil.copytree(prior / "policy", tmp_path / "damaged")
        for pattern in without:
            for file in (tmp_path / "damaged").glob(pattern):
                file.unlink()
        return tmp_path / "damaged"

    return copy


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], str]:
    """Runs a command that is refused, and returns its one line on stderr."""

    def run(command: list[str]) -> str:
        capsys.readouterr()
        assert main(command) == 2
        line = capsys.readouterr().err
        assert line.startswith("reasonenv: ")
        assert line.count("\n") == 1
        return line

    return run


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command in an empty folder and returns its one line on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(command: str) -> str:
        before = {path: path.read_bytes() if path.is_file() else None for path in tmp_path.rglob("*")}
        capsys.readouterr()
        assert main(command.split()) == 2
        out, complaint = capsys.readouterr()
        assert out == ""
        assert complaint.startswith("reasonenv: ")
        assert complaint.endswith("\n")
        assert complaint.count("\n") == 1
        assert {path: path.read_bytes() if path.is_file() else None for path in tmp_path.rglob("*")} == before
        return complaint

    return run
