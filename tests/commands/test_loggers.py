"""Loggers by name: where curves go beside a run's files, which changes nothing of the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import reasonenv
from reasonenv.cli import main
from reasonenv.measures.metrics import METRICS
from reasonenv.storage import read_rows

Train = Callable[[str, Path], list[str]]
LINES = """
import json

class Lines:
    def __init__(self, out, settings, first):
        self.path = out / "lines.jsonl"
        self.write({"settings": settings, "first": first})

    def write(self, row):
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\\n")

    def scalars(self, values, step):
        self.write({**values, "step": step})

    def text(self, name, text, step):
        self.write({"text": name, "step": step})

    def close(self):
        self.write({"closed": True})

class Failing(Lines):
    def scalars(self, values, step):
        if step == 3:
            raise ConnectionError("no network\\nanywhere")
        super().scalars(values, step)

class Absent(Lines):
    def __init__(self, *_):
        raise ImportError("no such package")
"""


@pytest.fixture
def loggers(tmp_path: Path) -> str:
    """The file that defines the loggers."""
    (tmp_path / "loggers.py").write_text(LINES)
    return str(tmp_path / "loggers.py")


def test_a_logger_gets_the_settings_and_the_numbers_and_makes_no_other_run(
    train: Train, loggers: str, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert main([*train("grpo", out), f"logger={loggers}:Lines+tensorboard"]) == 0
    lines = read_rows(out / "lines.jsonl")
    assert lines[0]["settings"]["agent_keys.lr"] == 3e-4
    assert lines[0]["first"] == 1
    rows = read_rows(out / "metrics.jsonl")
    logged = {row["step"]: row for row in lines if "train/loss" in row}
    assert {step: row["train/loss"] for step, row in logged.items()} == {r["iteration"]: r["loss"] for r in rows[1:]}
    assert [row for row in lines if "eval/pass@k" in row]
    assert lines[-1] == {"closed": True}
    assert list((out / "tensorboard").iterdir())
    assert (out / "run.json").read_bytes() == (whole("grpo") / "run.json").read_bytes()
    summary = (out / "summary.json").read_bytes()
    assert main([*train("grpo", out), "logger=none"]) == 0  # it is the run that has ended
    assert (out / "summary.json").read_bytes() == summary


def test_a_logger_that_fails_is_named_once_and_training_goes_on(
    train: Train,
    loggers: str,
    whole: Callable[[str], Path],
    result: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    capsys.readouterr()
    assert main([*train("grpo", out), f"logger={loggers}:Failing"]) == 0
    complaint = capsys.readouterr().err
    assert f"logger {loggers}:Failing failed in scalars and is left out from here on: ConnectionError" in complaint
    assert complaint.count("\n") == 1
    assert (out / "policy" / "model.safetensors").read_bytes() == (
        whole("grpo") / "policy" / "model.safetensors"
    ).read_bytes()


def test_a_logger_that_cannot_be_made_stops_the_run_before_it_begins(
    loggers: str, prior: Path, tmp_path: Path, complaint: Callable[[list[str]], str]
) -> None:
    out = tmp_path / "run"
    command = ["train", "grpo", "reasonenv/Chain-Response-v0", "--policy", str(prior), "--out", str(out), "operands=2"]
    assert "Absent' failed: ImportError: no such package" in complaint([*command, f"logger={loggers}:Absent"])
    assert not (out / "checkpoints").exists()
    assert "did you mean tensorboard" in complaint([*command, "logger=tensorbord"])


def test_metrics_of_a_file_stand_in_the_report_that_names_it(
    whole: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    (tmp_path / "mine.py").write_text(
        "from reasonenv.measures.metrics import METRICS\n\n"
        "def short(samples):\n    return samples.share(samples.length < 8, samples.greedy)\n\n"
        "METRICS.register('short', short)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(whole("grpo")), "--out", "page", "--with", "mine.py"]) == 0
    assert ",short," in Path("page", "table.csv").read_text()


def test_eval_says_what_differs_from_training(whole: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    run = str(whole("grpo"))
    capsys.readouterr()
    assert main(["eval", run, "--problems", "2"]) == 0
    assert "trained" not in capsys.readouterr().err
    assert main(["eval", run, "reasonenv/Chain-Response-v0", "operands=3", "max_tokens=16", "--problems", "2"]) == 0
    complaint = capsys.readouterr().err
    assert f"{run} was trained with operands=2 and is measured with 3" in complaint
    assert f"{run} was trained with operators=+ and is measured with +-" in complaint
    assert "max_tokens" not in complaint
    assert main(["eval", run, "--problems", "2", "--quiet", "operands=3"]) == 0
    assert capsys.readouterr().err == ""


def test_quiet_shows_the_result_alone_and_a_log_file_no_bar(
    prior: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {"policy": str(prior), "iterations": "2", "operands": "2", "max_tokens": "16", "eval_problems": "4"}
    settings |= {"problems_per_iteration": "2", "samples_per_problem": "2"}
    words = [f"{key}={value}" for key, value in settings.items()]
    command = ["train", "grpo", "reasonenv/Chain-Response-v0", *words]
    capfd.readouterr()
    assert main([*command, "--out", str(tmp_path / "quiet"), "--quiet"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("greedy accuracy on 4 held-out problems")
    assert err == ""
    assert main([*command, "--out", str(tmp_path / "log")]) == 0
    out, err = capfd.readouterr()
    assert "\r" not in out + err
    assert out.splitlines()[0].startswith("device: cpu (")
    assert out.count("iteration 2, 8 rollouts") == 1


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"reasonenv {reasonenv.__version__}\n"


def test_a_run_stays_on_the_device_on_which_it_has_begun(
    train: Train, whole: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # as on a machine that has got a GPU since: `auto` is that of the folder
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert json.loads((whole("grpo") / "run.json").read_text())["device"] == "cpu"
    assert main(train("grpo", whole("grpo"))) == 0
    capsys.readouterr()
    assert main([*train("grpo", whole("grpo")), "device=cuda"]) == 2
    assert "device is 'cpu' there, 'cuda' here" in capsys.readouterr().err
