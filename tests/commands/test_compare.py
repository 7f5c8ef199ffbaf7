"""Two runs side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reasonenv.cli import main
from reasonenv.measures.samples import read_samples, write_samples


@pytest.fixture
def twin(whole: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(whole("grpo"), tmp_path / "twin"))


def told(capsys: pytest.CaptureFixture[str], *command: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in command]) == 0
    return capsys.readouterr().out


def test_a_run_equals_itself(whole: Callable[[str], Path], twin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(told(capsys, "compare", whole("grpo"), twin, "--json"))
    assert {"greedy_accuracy", "pass@1", "pass@2", "maj@2"} <= {row["metric"] for row in rows}
    assert all(row["difference"] == 0 and row["low"] < 0 < row["high"] for row in rows)
    assert told(capsys, "diff", whole("grpo"), twin) == "no difference but the time they took\n"


def test_the_difference_is_paired_and_signed(
    whole: Callable[[str], Path], twin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = twin / "evaluation.parquet"
    samples = read_samples(path)
    wrong = next(i for i, s in enumerate(samples) if s.greedy and not s.correct)
    samples[wrong] = replace(samples[wrong], correct=True, reason="correct")  # one greedy answer of eight
    write_samples(path, samples)
    found = {row["metric"]: row for row in json.loads(told(capsys, "compare", whole("grpo"), twin, "--json"))}
    assert found["greedy_accuracy"]["difference"] == pytest.approx(1 / 8)
    assert found["pass@2"]["difference"] == 0
    text = told(capsys, "compare", whole("grpo"), twin)
    assert "+0.125" in text
    assert "8 questions" in text
    assert "one seed each" in text.replace("\n", " ")


def test_diff_tells_settings_numbers_and_answers(
    whole: Callable[[str], Path], twin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = json.loads((twin / "run.json").read_text())
    run["agent_keys"]["lr"] = 0.5
    (twin / "run.json").write_text(json.dumps(run))
    rows = [json.loads(line) for line in (twin / "metrics.jsonl").read_text().splitlines()]
    rows[3]["loss"] = 7.25
    rows[3]["seconds"] = 0.0
    (twin / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = twin / "evaluations" / "000004.parquet"
    first, *rest = read_samples(answers)
    write_samples(answers, [replace(first, text=f"hm {first.text}"), *rest])
    lines = told(capsys, "diff", whole("grpo"), twin).splitlines()
    assert lines[0].startswith("run.agent_keys.lr: 0.0003 | 0.5")
    assert lines[1] == "first different numbers: iteration 3"
    assert lines[2].startswith("  metrics.loss: ")
    assert lines[2].endswith("| 7.25")
    assert lines[3].startswith("first different answer: after 4 iterations, problem chain/test/0/")
    assert len(lines) == 6


def test_diff_tells_versions_and_data(
    whole: Callable[[str], Path], twin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = twin / "environment.json"
    card = json.loads(path.read_text())
    card["versions"]["torch"], card["data"]["test"] = "0.1", "other"
    path.write_text(json.dumps(card))
    versions, data = told(capsys, "diff", whole("grpo"), twin).splitlines()
    assert versions.startswith("environment.versions.torch: ")
    assert data.startswith("environment.data.test: ")
    assert data.endswith(" | 'other'")


@pytest.mark.parametrize(
    ("command", "complaint"),
    [("compare", "is not a finished run: it has no evaluation.parquet"), ("diff", "is not the folder of a run")],
)
def test_what_is_no_run_is_told(
    command: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(tmp_path), str(tmp_path)]) == 2
    assert complaint in capsys.readouterr().err


def test_one_id_for_two_questions_is_no_pair(
    whole: Callable[[str], Path], twin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Tasks with other settings may use the same ids: of the eight problems of the second run one is another question.
    lines = [json.loads(line) for line in (twin / "problems.jsonl").read_text().splitlines()]
    lines[0]["question"] = "9+9=?"
    (twin / "problems.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = json.loads(told(capsys, "compare", whole("grpo"), twin, "--json"))
    assert {row["questions"] for row in rows} == {7}
