"""A run that was killed, wherever it was, ends as if it had not been."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from reasonenv.cli import main
from reasonenv.learn import checkpoint
from reasonenv.learn.log import RunLog

# Real processes that are forked from one which has imported everything: they start at once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "reasonenv.cli",
        "reasonenv.evaluate.evaluation",
        "reasonenv.sampling.torch_sampler",
        "scipy.stats",
        "torch.utils.tensorboard",
        "transformers.models.auto.modeling_auto",
        "transformers.models.llama.modeling_llama",
    ]
)

Moment = int | str  # when metrics.jsonl has so many rows, or in the middle of writing a checkpoint


def reached(out: Path, moment: Moment) -> bool:
    if moment == "saving":
        return any((out / "checkpoints").glob(".*.partial"))
    rows = out / "metrics.jsonl"
    return rows.exists() and rows.read_bytes().count(b"\n") >= int(moment)


def wait_for(out: Path, moment: Moment, alive: Callable[[], bool]) -> None:
    while not reached(out, moment):
        assert alive(), f"the run ended before {moment}"
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("agent", "moments"),
    [
        ("grpo", (1, "saving", 6)),  # before the first checkpoint, within it, and rows after the last one
        ("ei", ("saving", 3)),  # what it keeps is in its checkpoint
        ("sft", (3, "saving")),
    ],
)
def test_a_killed_run_ends_as_one_that_was_not(
    agent: str,
    moments: tuple[Moment, ...],
    train: Callable[[str, Path], list[str]],
    whole: Callable[[str], Path],
    result: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    for moment in moments:
        child = PROCESSES.Process(target=main, args=(train(agent, out),))
        child.start()
        wait_for(out, moment, child.is_alive)
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    assert not (out / "summary.json").exists()
    assert main(train(agent, out)) == 0
    assert result(out) == result(whole(agent))


def test_a_finished_run_is_told_again_and_not_touched(
    train: Callable[[str, Path], list[str]], whole: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = whole("grpo")

    def state() -> dict[Path, tuple[int, int]]:
        return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in out.rglob("*")}

    before = state()
    capsys.readouterr()
    assert main(train("grpo", out)) == 0
    first = capsys.readouterr().out
    assert main(train("grpo", out)) == 0
    assert capsys.readouterr().out == first != ""
    assert state() == before


def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(
    train: Callable[[str, Path], list[str]],
    whole: Callable[[str], Path],
    result: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "reasonenv", *train("grpo", out)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(out, 3, lambda: child.poll() is None)
    os.kill(child.pid, signal.SIGINT)
    said, complaint = child.communicate(timeout=60)
    assert (child.returncode, said) == (130, "")
    assert complaint.strip() == "reasonenv: interrupted; the same command goes on from the last checkpoint"
    assert main(train("grpo", out)) == 0
    assert result(out) == result(whole("grpo"))


def test_no_row_is_lost_when_the_log_is_opened(tmp_path: Path) -> None:
    # a kill while the log drops the rows behind the checkpoint leaves the old file or the new one, never a piece
    rows = "".join(f'{{"iteration": {i}}}\n' for i in range(4))
    (tmp_path / "metrics.jsonl").write_text(rows)
    with (tmp_path / "metrics.jsonl").open() as old:
        RunLog(tmp_path, iteration=2, used=0, budget=8, unit="rollouts", quiet=True).close()
        assert old.read() == rows
    assert (tmp_path / "metrics.jsonl").read_text() == rows[: 3 * len('{"iteration": 0}\n')]


def test_saving_clears_away_what_kills_left(tmp_path: Path) -> None:
    weights = {"w": torch.ones(2)}
    (tmp_path / ".00000003.partial").mkdir(parents=True)  # killed while writing
    (tmp_path / "00000002").mkdir()  # killed while removing: its state is gone already
    (tmp_path / "00000002" / checkpoint.TENSORS).write_bytes(b"")
    assert checkpoint.saved(tmp_path) == []
    saved = checkpoint.save(tmp_path, 4, weights, {})
    assert list(tmp_path.iterdir()) == checkpoint.saved(tmp_path) == [saved]
