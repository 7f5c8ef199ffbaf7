"""One damaged byte, line or file of a suite or a run is one line that names it, or changes nothing that is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reasonenv.cli import main

TEXTS = ["suite.json", "suite.toml", "problems.jsonl"]
TEXTS += [f"cells/grpo-0/{name}" for name in ("cell.json", "metrics.jsonl", "environment.json", "winning.jsonl")]


@pytest.fixture
def suite(small_suite: Callable[..., Path]) -> Path:
    folder = small_suite(seeds=(0,), problems=6)
    (folder / "suite.toml").write_text("# a suite")
    return folder


def said(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["report", str(folder)])
    out, complaint = capsys.readouterr()
    assert complaint.count("\n") == (code == 2)
    return code, complaint if code else out


@pytest.mark.parametrize("name", TEXTS)
def test_a_byte_that_is_no_utf_8_names_its_file(name: str, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (suite / name).read_bytes()
    (suite / name).write_bytes(content[: len(content) // 2] + b"\xfd" + content[len(content) // 2 + 1 :])
    code, complaint = said(suite, capsys)
    assert code == 2
    assert f"{suite / name}" in complaint


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "suite.toml"])
@pytest.mark.parametrize("content", ["null", "[]", "5", "{", '"x"', "[" * 100_000, '{"a": 1e999}'])
def test_another_value_names_its_file_or_says_nothing_wrong(
    name: str, content: str, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (suite / name).write_text(content)
    code, complaint = said(suite, capsys)
    assert code == 0 or str(suite / name) in complaint


@pytest.mark.parametrize("key", ["ks", "margin", "seconds", "cells", "versions", "references", "notices", "baseline"])
@pytest.mark.parametrize("value", [None, 5, "x", ["a"], {"a": [1]}, -1, 10**400, True])
def test_a_value_of_another_type_names_its_key(
    key: str, value: object, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((suite / "suite.json").read_text())
    (suite / "suite.json").write_text(json.dumps({**record, key: value}))
    code, complaint = said(suite, capsys)
    assert code == 0 or (key in complaint or "not a JSON object" in complaint)


def test_what_a_finished_cell_lacks_is_said(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (suite / "cells" / "grpo-0" / "evaluation.parquet").unlink()
    (suite / "cells" / "ei-0" / "metrics.jsonl").write_text("")
    cell = suite / "cells" / "ei-0" / "cell.json"
    cell.write_text(json.dumps({**json.loads(cell.read_text()), "updates": 3}))
    code, out = said(suite, capsys)
    assert code == 0
    assert "missing: grpo, seed 0: done, but without evaluation.parquet" in out
    assert "missing: ei, seed 0: done, but without rows in metrics.jsonl" in out


@pytest.mark.parametrize("axis", ["rollouts", "tokens", "updates", "seconds"])
def test_a_budget_of_nothing_is_drawn(axis: str, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in suite.glob("cells/*/metrics.jsonl"):
        rows = [{**json.loads(line), axis: 0} for line in path.read_text().splitlines()]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert said(suite, capsys)[0] == 0


@pytest.mark.parametrize("damage", [b"\xfd", b"null\n", b"{\n"])
def test_comparing_runs_names_a_damaged_row(damage: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for file in ("run.json", "environment.json"):
            (tmp_path / name / file).write_text("{}")
        (tmp_path / name / "metrics.jsonl").write_text('{"iteration": 0}\n')
    with (tmp_path / "b" / "metrics.jsonl").open("ab") as file:
        file.write(damage + b"\n")
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    complaint = capsys.readouterr().err
    assert f"{tmp_path / 'b' / 'metrics.jsonl'}" in complaint
    assert complaint.count("\n") == 1
