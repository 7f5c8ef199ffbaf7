"""Suites: what is missing runs and nothing else, and a crash costs one cell."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reasonenv.cli import main
from reasonenv.experiment.cells import REFERENCES
from reasonenv.measures.metrics import summarise
from reasonenv.measures.samples import EVALUATION, read_samples

SUITE = """
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0]
ks = [1, 2]
without_signal = true  # six steps of SFT are enough for how cells are run, and solve nothing
[keys]
operands = 2
operators = "+"
size = 16
max_tokens = 16
eval_problems = 8
problems_per_iteration = 4
[inits.prior]
iterations = 30
lr = 3e-3
[agents."FOLDER/boom.py:Boom"]
iterations = 2
samples_per_problem = 4
[agents.grpo]
iterations = 2
samples_per_problem = 4
"""

# Waits for as long as a file `wait` lies beside it, and fails until `mended` does.
BOOM = """
import time
from pathlib import Path
from reasonenv.agents.grpo import GRPO

HERE = Path(__file__).parent

class Boom(GRPO):
    def learn(self, groups, budget, observer):
        while (HERE / "wait").exists():
            time.sleep(0.01)
        if not (HERE / "mended").exists():
            raise RuntimeError("out of luck")
        return super().learn(groups, budget)
"""

# The interpreter tells of every file that it will open: the suite dies when it first reads how far Boom has come.
DYING = """
import fnmatch, os, signal, sys
from reasonenv.cli import main

def hook(event, arguments):
    if event == "open" and fnmatch.fnmatch(str(arguments[0]), "*/cells/*Boom*/metrics.jsonl"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
main(sys.argv[1:])
"""


@dataclass(frozen=True)
class Call:
    """One `bench run`: what it said, and the cells it left: status and the hashes of their files."""

    said: str
    cells: dict[str, Any]


def agents(call: Call) -> dict[str, str]:
    """The name of each cell by its agent."""
    return {cell["record"]["agent"].rpartition(":")[2]: name for name, cell in call.cells.items()}


def bench(suite: Path, out: Path, *options: str) -> Call:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = main(["bench", "run", str(suite), "--out", str(out), *options])
    cells = {
        folder.name: {
            "record": json.loads((folder / "cell.json").read_text()),
            "files": {
                str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            },
        }
        for folder in (out / "cells").iterdir()
    }
    failed = [name for name, cell in cells.items() if cell["record"]["status"] == "failed"]
    assert code == int(bool(failed))
    assert ("cells have failed" in said.getvalue()) == bool(failed)
    return Call(said.getvalue(), cells)


def living(group: int) -> list[int]:
    """The processes of a group that still do something: not those that only wait to be buried."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            found += [int(stat.parent.name)] if int(its_group) == group and state != "Z" else []
    return found


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "boom.py").write_text(BOOM)
    (folder / "small.toml").write_text(SUITE.replace("FOLDER", str(folder)))
    return folder / "small.toml"


@dataclass(frozen=True)
class Story:
    """A suite that is killed; called again, when an agent crashes; again, mended and a cell removed; and once more."""

    left: list[int]  # processes that outlive the kill
    crashed: Call
    mended: Call
    nothing: Call


@pytest.fixture(scope="module")
def story(suite: Path) -> Story:
    out, here = suite.parent / "out", suite.parent
    (here / "wait").touch()
    command = [sys.executable, "-c", DYING, "bench", "run", str(suite), "--out", str(out), "--jobs", "1"]
    with (here / "killed.txt").open("w") as said:
        run = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        assert run.wait() == -signal.SIGKILL, (here / "killed.txt").read_text()
    for _ in range(3000):  # its cell, which would wait for ever, ends as soon as it hears of it
        if not (left := living(run.pid)):
            break
        time.sleep(0.02)
    (here / "wait").unlink()
    crashed = bench(suite, out, "--jobs", "2")
    (here / "mended").touch()
    shutil.rmtree(out / "cells" / agents(crashed)["grpo"])
    mended = bench(suite, out, "--jobs", "1")
    return Story(left, crashed, mended, bench(suite, out))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_a_killed_suite_leaves_nobody_behind(story: Story) -> None:
    # else the next call would write into a cell that an orphan still writes into
    assert story.left == []


def test_a_crash_costs_its_cell_and_is_told(story: Story) -> None:
    status = {name: story.crashed.cells[cell]["record"]["status"] for name, cell in agents(story.crashed).items()}
    assert status == {"initial": "done", **dict.fromkeys(REFERENCES, "done"), "grpo": "done", "Boom": "failed"}
    assert "failed; RuntimeError: out of luck" in story.crashed.said
    assert "error.txt" in story.crashed.cells[agents(story.crashed)["Boom"]]["files"]


def test_the_report_tells_of_a_crash(story: Story, suite: Path, tmp_path: Path) -> None:
    # the folder as it is now, and in it the crash as it was
    shutil.copytree(suite.parent / "out", tmp_path / "out")
    boom = agents(story.crashed)["Boom"]
    (tmp_path / "out" / "cells" / boom / "cell.json").write_text(json.dumps(story.crashed.cells[boom]["record"]))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main(["report", str(tmp_path / "out")]) == 0
    report = Path(said.getvalue().strip().splitlines()[-1].removeprefix("report: "))
    assert "out of luck" in report.read_text()


def test_a_second_call_runs_what_failed_or_is_gone_and_nothing_else(story: Story) -> None:
    cells = agents(story.mended)
    assert {cell["record"]["status"] for cell in story.mended.cells.values()} == {"done"}
    kept = {name for agent, name in cells.items() if agent not in ("Boom", "grpo")}
    assert {n: story.mended.cells[n] for n in kept} == {n: story.crashed.cells[n] for n in kept}
    assert "error.txt" not in story.mended.cells[cells["Boom"]]["files"]


def test_a_call_with_nothing_missing_runs_nothing_and_says_so(story: Story) -> None:
    assert story.nothing.said.startswith("all 6 cells of small are done; nothing to run\n")
    assert story.nothing.cells == story.mended.cells


def test_the_report_is_made_of_stored_samples_alone(story: Story, suite: Path, tmp_path: Path) -> None:
    out, copy = suite.parent / "out", tmp_path / "out"
    shutil.copytree(
        out, copy, ignore=shutil.ignore_patterns("policy", "evaluations", "tensorboard", "report*", "table*")
    )
    assert main(["report", str(copy)]) == 0
    for name in ("table.csv", "table.txt", "report.html"):
        assert (copy / name).read_bytes() == (out / name).read_bytes()


def test_floor_and_ceilings_are_what_the_initial_policy_drew(story: Story, suite: Path) -> None:
    name, out = agents(story.nothing), suite.parent / "out" / "cells"
    found = {agent: read_samples(out / name[agent] / EVALUATION) for agent in ("initial", *REFERENCES)}
    initial = summarise(found["initial"], [2])
    shares = {agent: summarise(found[agent], [])["greedy_accuracy"].value for agent in REFERENCES}
    assert shares["random_tokens"] == 0
    assert {s.text for s in found["random_tokens"]}.isdisjoint(s.text for s in found["initial"])
    assert shares["best_of_k"] == initial["pass@2"].value  # of 2 samples the better one
    drawn = [s for s in found["initial"] if not s.greedy]
    for chosen in found["majority"]:  # of two answers each is as frequent as the other, so the first one counts
        assert chosen.text == next(
            (s.text for s in drawn if s.problem_id == chosen.problem_id and s.reason in ("correct", "wrong")),
            next(s.text for s in drawn if s.problem_id == chosen.problem_id),
        )
    assert not any(agent in story.nothing.said.split("Greedy accuracy on")[1] for agent in REFERENCES)


def test_a_cell_finds_the_same_alone_and_beside_another(story: Story) -> None:
    # grpo ran beside Boom, was removed, and ran again one at a time
    cell = agents(story.mended)["grpo"]
    for name in ("evaluation.parquet", "policy/model.safetensors"):
        (before, content), (after, found) = (c.cells[cell]["files"][name] for c in (story.crashed, story.mended))
        assert before < after
        assert content == found


def test_a_cell_is_the_run_of_the_same_name(story: Story, suite: Path, tmp_path: Path) -> None:
    # so neither the kill nor the folder nor the order of cells has left a trace
    keys = ["operands=2", "operators=+", "size=16", "max_tokens=16", "eval_problems=8", "problems_per_iteration=4"]
    env, out = "reasonenv/Chain-Response-v0", tmp_path / "run"
    settings = [*keys, "eval_samples=2", "lr=3e-3", "--iterations", "30", "--out", str(out), "--json"]
    assert main(["train", "sft", env, *settings]) == 0
    cell = suite.parent / "out" / "cells" / agents(story.crashed)["initial"]
    for name in ("evaluation.parquet", "policy/model.safetensors"):
        assert (out / name).read_bytes() == (cell / name).read_bytes()
