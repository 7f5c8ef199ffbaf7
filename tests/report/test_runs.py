"""Reports of single runs, and of several folders in one page."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reasonenv.cli import main
from reasonenv.errors import UserError
from reasonenv.measures.samples import read_samples, write_samples
from reasonenv.report import console_text, write_report

SETTINGS = {
    "env": "reasonenv/Chain-Response-v0",
    "policy": "prior/policy",
    "iterations": 30,
    "env_keys": {"operands": 4, "reward": "sparse"},
    "eval_problems": 20,
    "holdout": "test",
    "eval_samples": 4,
}


@pytest.fixture
def new_run(small_suite: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Makes the folder of a run, as `train --out` leaves it, of one cell of a suite."""
    suite = small_suite()

    def make(name: str, agent: str, seed: int, *, lr: float = 1e-4, done: bool = True, **changes: object) -> Path:
        folder = shutil.copytree(suite / "cells" / f"{agent}-{seed}", tmp_path / name)
        (folder / "cell.json").unlink()
        run = {**SETTINGS, "agent": agent, "seed": seed, "agent_keys": {"lr": lr}, **changes}
        (folder / "run.json").write_text(json.dumps({**run, "code": {"files": {}}, "weights": {}}))
        if done:
            used = {"rollouts": 512, "tokens": 30_000, "updates": 30, "seconds": 12.5, "memory": 100.0}
            (folder / "summary.json").write_text(json.dumps(used))
        else:
            (folder / "evaluation.parquet").unlink()
        greedy = [s for s in read_samples(suite / "cells" / "prior-0" / "evaluation.parquet") if s.greedy]
        (folder / "evaluations").mkdir()
        write_samples(folder / "evaluations" / "000000.parquet", greedy)
        return folder

    return make


def accuracies(folder: Path) -> dict[str, float]:
    with (folder / "table.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "greedy_accuracy" and row["seed"] == "mean"]
    return {f"{row['agent']}|{row['variant']}": float(row["value"]) for row in rows}


def greedy(path: Path) -> float:
    samples = [sample for sample in read_samples(path) if sample.greedy]
    return sum(sample.correct for sample in samples) / len(samples)


def test_runs_stand_beside_the_policy_that_they_began_with(new_run: Callable[..., Path], tmp_path: Path) -> None:
    folders = [new_run("a", "grpo", 0), new_run("b", "grpo", 1), new_run("c", "ei", 0)]
    page = write_report(*folders, out=tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    expected = {
        "initial|": greedy(folders[0] / "evaluations" / "000000.parquet"),
        "grpo|": sum(greedy(folder / "evaluation.parquet") for folder in folders[:2]) / 2,
        "ei|": greedy(folders[2] / "evaluation.parquet"),
    }
    assert accuracies(tmp_path / "out") == pytest.approx(expected)
    assert "missing" not in console_text(page)  # nobody has said that ei needs a second seed
    text = page.read_text(encoding="utf-8")
    assert "<td>lr</td><td>0.0001</td><td>0.0001</td><td>0.0001</td>" in text  # of the rows side by side
    assert "<td>operands</td><td>4</td><td>4</td><td>4</td>" in text


def test_one_run_is_a_report_in_its_folder(new_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = new_run("alone", "grpo", 0)
    assert main(["report", str(folder)]) == 0
    assert f"report: {folder / 'report.html'}" in capsys.readouterr().out
    assert accuracies(folder).keys() == {"initial|", "grpo|"}


def test_names_that_collide_have_their_folder(new_run: Callable[..., Path]) -> None:
    first = new_run("a", "grpo", 0)
    write_report(first, new_run("b", "grpo", 0), new_run("c", "ei", 0))  # the same seed again
    assert accuracies(first).keys() == {"initial|", "grpo (a)|", "grpo (b)|", "ei|"}
    write_report(first, new_run("d", "grpo", 1, lr=3e-4))  # another setting is another row
    assert accuracies(first).keys() == {"initial|", "grpo (a)|", "grpo (d)|"}
    dense = {"operands": 4, "reward": "dense"}  # answers are measured alike, whatever was paid for
    write_report(first, new_run("e", "ei", 0, env_keys=dense))
    assert accuracies(first).keys() == {"initial|", "grpo|", "ei|"}


def test_runs_that_were_asked_otherwise_are_not_compared(new_run: Callable[..., Path]) -> None:
    first, hard = new_run("a", "grpo", 0), new_run("b", "ei", 0, env_keys={"operands": 5, "reward": "sparse"})
    page = write_report(first, hard)
    rows = {"initial|operands 4", "grpo|operands 4", "initial|operands 5", "ei|operands 5"}
    assert accuracies(first).keys() == rows
    assert "All settings" in page.read_text(encoding="utf-8")
    write_report(first, new_run("c", "ei", 0, policy="another"))
    assert list(accuracies(first)) == ["initial|", "grpo|", "ei|"]  # in two tables, each with its initial policy
    with (first / "table.csv").open() as file:
        assert {row["policy"] for row in csv.DictReader(file)} == {"prior/policy", "another"}


def test_suites_and_runs_stand_in_one_report(new_run: Callable[..., Path], tmp_path: Path) -> None:
    run = new_run("a", "grpo", 0)
    page = write_report(tmp_path / "suite", run, out=tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    for setting in ("reasonenv/Chain-Response-v0, tiny from sft of suite", "reasonenv/Chain-Response-v0, prior/policy"):
        assert 'class="setting" id="setting-' in text
        assert f">{setting}</h2>" in text


def test_an_unfinished_run_is_named(new_run: Callable[..., Path]) -> None:
    first = new_run("a", "grpo", 0)
    page = write_report(first, new_run("b", "ei", 0, done=False))
    assert "missing: ei, seed 0: running" in console_text(page)
    assert "Not all of the runs are complete." in page.read_text(encoding="utf-8")


def test_folders_without_a_run_are_named_in_one_line(
    new_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run("a", "grpo", 0)
    assert main(["report", str(run), str(tmp_path / "nowhere"), str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert f"{tmp_path / 'nowhere'} is not the folder of a suite" in lines[0]
    assert f"{tmp_path} is not the folder of a suite" in lines[0]
    (run / "run.json").write_text('{"agent": "grpo"}')
    with pytest.raises(UserError, match=r"run.json: key 'env' is missing"):
        write_report(run)


HOSTILE = {
    "nothing": b"",
    "no object": b"[]",
    "no text": b"\x00\xff\xfe",
    "too deep": b"[" * 200_000,
    "half a character": b'{"a": "\\ud800"}',
    "a long number": b'{"iteration": ' + b"9" * 5000 + b"}",
    "beyond a float": b'{"iteration": 1' + b"0" * 400 + b"}",
    "cut": b'{"a": 1',
}
VALUES = [None, [], {"a": [1]}, "x", -1, 10**400, 1.5, float("nan"), float("inf"), 1e308]


def one_line(folder: Path) -> None:
    """A stranger's folder is a report or one line that names a file in it."""
    message = str(folder)
    try:
        write_report(folder)
    except UserError as error:
        message = str(error)
    assert str(folder) in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["run.json", "summary.json", "metrics.jsonl", "problems.jsonl", "winning.jsonl"])
def test_damaged_files_are_one_line(new_run: Callable[..., Path], name: str) -> None:
    folder = new_run("a", "grpo", 0)
    for content in HOSTILE.values():
        (folder / name).write_bytes(content)
        one_line(folder)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("run.json", ["agent", "env", "policy", "seed", "eval_samples", "eval_problems", "env_keys", "agent_keys"]),
        ("summary.json", ["seconds", "rollouts", "tokens", "updates", "memory"]),
        ("metrics.jsonl", ["iteration", "rollouts", "tokens", "updates", "seconds", "eval/greedy_accuracy", "reward"]),
        ("environment.json", ["data", "versions", "hardware"]),
    ],
)
def test_values_that_cannot_be_are_one_line(new_run: Callable[..., Path], name: str, keys: list[str]) -> None:
    folder = new_run("a", "grpo", 0)
    path = folder / name
    lines = path.read_text().splitlines() if name == "metrics.jsonl" else [path.read_text() if path.exists() else "{}"]
    for key in keys:
        for value in VALUES:
            record = {**json.loads(lines[-1]), key: value}
            path.write_text("\n".join([*lines[:-1], json.dumps(record)]))
            one_line(folder)
