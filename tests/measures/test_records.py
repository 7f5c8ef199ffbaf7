from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reasonenv.errors import UserError
from reasonenv.measures.records import (
    CellRecord,
    Notice,
    SuiteRecord,
    read_record,
    write_record,
)

CELL = CellRecord(
    agent="grpo", env="e", policy="tiny", init="sft", variant="", seed=1, status="done", tokens=5, seconds=1.5
)
SUITE = SuiteRecord(
    name="s",
    baseline="initial",
    ks=(1, 8),
    margin=0.05,
    versions={"torch": "2"},
    notices=(Notice("e", "sft", "", "nothing to learn"),),
    tuned={"split": "validation"},
    cells=("a", "b"),
)


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_record(tmp_path / "cell.json", CELL)
    write_record(tmp_path / "suite.json", SUITE)
    assert read_record(tmp_path / "cell.json", CellRecord) == CELL
    assert read_record(tmp_path / "suite.json", SuiteRecord) == SUITE
    assert CELL.budget == {"rollouts": 0.0, "tokens": 5.0, "updates": 0.0, "seconds": 1.5, "memory": 0.0}
    assert json.loads((tmp_path / "suite.json").read_text())["notices"][0]["notice"] == "nothing to learn"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agent": None}, "cell.json: agent is None; it should be a valid string"),
        ({"seed": "1"}, "cell.json: seed is '1'; it should be a valid integer"),
        ({"seconds": "long"}, "cell.json: seconds is 'long'; it should be a valid number"),
        ({"agnet": "grpo"}, "unknown key in .*cell.json 'agnet'; did you mean agent"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_record(tmp_path / "cell.json", CELL)
    record = json.loads((tmp_path / "cell.json").read_text())
    (tmp_path / "cell.json").write_text(json.dumps(record | change))
    with pytest.raises(UserError, match=message) as caught:
        read_record(tmp_path / "cell.json", CellRecord)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "suite.json").write_text('{"name": "s"}')
    with pytest.raises(UserError, match=r"suite\.json: key 'baseline' is missing"):
        read_record(tmp_path / "suite.json", SuiteRecord)
    (tmp_path / "suite.json").write_text("[]")
    with pytest.raises(UserError, match=r"suite\.json is damaged: it holds a list"):
        read_record(tmp_path / "suite.json", SuiteRecord)
