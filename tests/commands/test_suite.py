"""Suites: what is missing runs and nothing else, and a crash costs one cell."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
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
from reasonenv.learn.log import TIMES

SUITE = """
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0]
ks = [1, 2]
[keys]
operands = 2
operators = "+"
size = 16
max_tokens = 16
eval_problems = 8
problems_per_iteration = 4
[prior]
iterations = 6
lr = 3e-3
[agents.grpo]
iterations = 2
samples_per_problem = 4
[agents."FOLDER/boom.py:Boom"]
iterations = 2
samples_per_problem = 2
"""

# Fails until a file `mended` lies beside it.
BOOM = """
from pathlib import Path
from reasonenv.agents.grpo import GRPO

class Boom(GRPO):
    def learn(self, groups, budget):
        if not Path(__file__).with_name("mended").exists():
            raise RuntimeError("out of luck")
        return super().learn(groups, budget)
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
        assert main(["bench", "run", str(suite), "--out", str(out), *options]) == 0
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
    return Call(said.getvalue(), cells)


def outcome(cell: Path) -> dict[str, Any]:
    """What a cell found, times aside."""
    rows = [json.loads(line) for line in (cell / "metrics.jsonl").read_text().splitlines()]
    found = [cell / "evaluation.jsonl", cell / "policy" / "model.safetensors"]
    metrics = [repr({k: v for k, v in row.items() if k not in TIMES}) for row in rows]
    return {"metrics": metrics, **{path.name: path.read_bytes() for path in found}}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "boom.py").write_text(BOOM)
    (folder / "small.toml").write_text(SUITE.replace("FOLDER", str(folder)))
    return folder / "small.toml"


@pytest.fixture(scope="module")
def story(suite: Path) -> tuple[Call, Call, Call, Call]:
    """A run with a crash; again, mended; again; and again without the cell of grpo."""
    out = suite.parent / "out"
    crashed = bench(suite, out, "--jobs", "2")
    (suite.parent / "mended").touch()
    mended = bench(suite, out, "--jobs", "2")
    nothing = bench(suite, out)
    shutil.rmtree(out / "cells" / agents(nothing)["grpo"])
    return crashed, mended, nothing, bench(suite, out)


def test_a_crash_costs_its_cell_and_is_told(story: tuple[Call, ...], suite: Path) -> None:
    crashed = story[0]
    status = {name: crashed.cells[cell]["record"]["status"] for name, cell in agents(crashed).items()}
    assert status == {"prior": "done", "grpo": "done", "Boom": "failed"}
    assert "failed; RuntimeError: out of luck" in crashed.said
    assert "error.txt" in crashed.cells[agents(crashed)["Boom"]]["files"]


def test_the_report_tells_of_a_crash(story: tuple[Call, ...], suite: Path, tmp_path: Path) -> None:
    # the folder as it is now, and in it the crash as it was
    shutil.copytree(suite.parent / "out", tmp_path / "out")
    boom = agents(story[0])["Boom"]
    (tmp_path / "out" / "cells" / boom / "cell.json").write_text(json.dumps(story[0].cells[boom]["record"]))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main(["report", str(tmp_path / "out")]) == 0
    report = Path(said.getvalue().strip().splitlines()[-1].removeprefix("report: "))
    assert "out of luck" in report.read_text()


def test_a_second_call_runs_what_failed_and_nothing_else(story: tuple[Call, ...]) -> None:
    crashed, mended, *_ = story
    for agent, cell in agents(mended).items():
        assert mended.cells[cell]["record"]["status"] == "done"
        assert (mended.cells[cell] == crashed.cells[cell]) == (agent != "Boom")
    assert "error.txt" not in mended.cells[agents(mended)["Boom"]]["files"]


def test_a_call_with_nothing_missing_runs_nothing_and_says_so(story: tuple[Call, ...]) -> None:
    _, mended, nothing, _ = story
    assert nothing.said.startswith("all 3 cells of small are done; nothing to run\n")
    assert nothing.cells == mended.cells


def test_a_cell_that_was_removed_runs_again_alone_and_finds_the_same(story: tuple[Call, ...]) -> None:
    _, _, nothing, again = story
    removed = agents(nothing)["grpo"]
    for cell in nothing.cells:
        if cell != removed:
            assert again.cells[cell] == nothing.cells[cell]
    same = ("evaluation.jsonl", "policy/model.safetensors")
    for name in same:
        (before, content), (after, found) = (call.cells[removed]["files"][name] for call in (nothing, again))
        assert before < after
        assert content == found


def living(group: int) -> list[int]:
    """The processes of a group that still do something: not those that only wait to be buried."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            found += [int(stat.parent.name)] if int(its_group) == group and state != "Z" else []
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.usefixtures("story")
def test_a_killed_suite_leaves_nobody_behind_and_goes_on_to_the_same_end(suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "reasonenv", "bench", "run", str(suite), "--out", str(out), "--jobs", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        while not any(path.read_bytes().count(b"\n") >= 3 for path in out.glob("cells/sft-*/metrics.jsonl")):
            assert run.poll() is None
            time.sleep(0.005)
        assert len(living(run.pid)) >= 2
        os.kill(run.pid, signal.SIGKILL)
    for _ in range(2000):  # a cell ends by itself as soon as it hears of it
        if not living(run.pid):
            break
        time.sleep(0.01)
    assert living(run.pid) == []
    assert len(list(out.glob("cells/*/cell.json"))) == 1
    finished = bench(suite, out, "--jobs", "1")
    assert {cell["record"]["status"] for cell in finished.cells.values()} == {"done"}
    # nor does a result depend on how many cells ran beside it: the first suite ran two at a time
    for cell in finished.cells:
        assert outcome(out / "cells" / cell) == outcome(suite.parent / "out" / "cells" / cell)
