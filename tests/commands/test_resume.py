"""A run that was killed, wherever it was, ends as if it had not been."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from reasonenv.cli import main
from reasonenv.experiment.manifest import reproducibility
from reasonenv.learn import checkpoint
from reasonenv.learn.log import RunLog

# The interpreter tells of every file that it will open, rename or remove: from the N-th such event on a signal is sent.
DYING = """
import fnmatch, itertools, os, signal, sys
from reasonenv.cli import main
from reasonenv.learn import loop as train

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
train.SAVING_SHARE = 1e-9  # a process saves after its first iteration and at the end, however fast the machine is
count = itertools.count(1)

def hook(event, arguments):
    if event == EVENT and fnmatch.fnmatch(str(arguments[0]), PATTERN) and next(count) >= NTH:
        os.kill(os.getpid(), SIGNAL)

sys.addaudithook(hook)
sys.exit(main(ARGUMENTS))
"""

Moment = tuple[str, str, int]  # event, its path, which one

FIRST_ANSWERS = ("os.rename", "*/evaluations/.000000.parquet.*.partial", 1)  # before there is anything
CHECKPOINT = ("open", "*/checkpoints/.00000001.partial/.state.json.*", 1)  # in the middle of the first checkpoint
EVALUATION = ("os.rename", "*/evaluations/.000004.parquet.*.partial", 1)  # with rows behind the last checkpoint
EVALUATIONS = ("os.rename", "*/evaluations/.*.parquet.*.partial", 3)  # from that one on, as a person who presses again
DROPPING = ("os.rename", "*/.metrics.jsonl.*.partial", 1)  # while such rows are dropped
NEXT_CHECKPOINT = (
    "os.remove",
    "*/checkpoints/.00000001.old.partial/*",
    1,
)  # when the next one makes the first superfluous
POLICY = ("os.rename", "*/.policy.new", 1)
SUMMARY = ("os.rename", "*/.summary.json.*.partial", 1)


def dying(moment: Moment, sent: int, arguments: list[str]) -> dict[str, Any]:
    """The names that `DYING` uses."""
    return {**dict(zip(("EVENT", "PATTERN", "NTH"), moment, strict=True)), "SIGNAL": sent, "ARGUMENTS": arguments}


@pytest.mark.parametrize(
    ("agent", "moments"),
    [
        ("grpo", (FIRST_ANSWERS, CHECKPOINT, EVALUATION, DROPPING, NEXT_CHECKPOINT, POLICY, SUMMARY)),
        ("ei", (CHECKPOINT, EVALUATION, NEXT_CHECKPOINT, SUMMARY)),  # what it keeps is in its checkpoint
        ("sft", (CHECKPOINT, EVALUATION, DROPPING)),
        ("ppo", (EVALUATION,)),  # so is its critic
        ("dapo", (EVALUATION,)),  # an iteration draws as many problems as it takes
        ("rloo", (EVALUATION,)),  # of weights in bfloat16 the optimiser holds the other half
    ],
)
def test_a_killed_run_ends_as_one_that_was_not(
    agent: str,
    moments: tuple[Moment, ...],
    train: Callable[[str, Path], list[str]],
    whole: Callable[[str], Path],
    result: Callable[[Path], dict[str, Any]],
    apart: Callable[..., int],
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    for moment in moments:
        ended = apart(exec, DYING, dying(moment, signal.SIGKILL, train(agent, out)))
        assert ended == -signal.SIGKILL, f"the run did not come to {moment}"
    assert not (out / "summary.json").exists()
    assert main(train(agent, out)) == 0
    assert result(out) == result(whole(agent))


def test_two_runs_of_one_description_are_the_same_in_every_bit(
    train: Callable[[str, Path], list[str]],
    whole: Callable[[str], Path],
    result: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    assert main([word for word in train("grpo", out) if word != "--json"]) == 0
    assert "reproducibility: bitwise (on this processor, " in capsys.readouterr().out
    assert json.loads((out / "environment.json").read_text())["reproducibility"] == "bitwise"
    assert result(out) == result(whole("grpo"))


def test_what_is_promised_depends_on_who_draws_and_where() -> None:
    def level(device: str = "cpu", sampler: str = "torch", address: str | None = None) -> str:
        return reproducibility(device=device, sampler=sampler, address=address)[0]

    assert level() == level(sampler="hf") == "bitwise"
    assert level(device="cuda:0") == level(sampler="vllm") == "seeded"
    assert level(sampler="vllm", address="http://localhost:8000") == "fast"


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
    names = "".join(f"{k} = {v!r}\n" for k, v in dying(EVALUATIONS, int(signal.SIGINT), train("grpo", out)).items())
    done = subprocess.run([sys.executable, "-c", names + DYING], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    told = "interrupted; 4 of 8 iterations are saved; the same command goes on from the last checkpoint"
    assert done.stderr.strip() == f"reasonenv: {told}"
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


def test_saving_keeps_two_and_clears_away_what_kills_left(tmp_path: Path) -> None:
    weights = {"w": torch.ones(2)}
    (tmp_path / ".00000003.partial").mkdir(parents=True)  # killed while writing
    (tmp_path / ".00000002.old.partial").mkdir()  # killed while removing
    for iteration in (4, 5, 6):
        checkpoint.save(tmp_path, iteration, weights, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000005", "00000006"]
    assert checkpoint.saved(tmp_path) == sorted(tmp_path.iterdir())
