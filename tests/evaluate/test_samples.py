from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.errors import UserError
from reasonenv.evaluate.samples import Sample, read_samples, write_samples

TEXT = st.text(st.characters(), max_size=40)  # any code point: line separators, NUL, half surrogate pairs
SAMPLES = st.builds(
    Sample,
    problem_id=TEXT,
    index=st.integers(0, 95),
    greedy=st.booleans(),
    correct=st.booleans(),
    reason=st.sampled_from(["correct", "wrong", "timeout"]),
    extracted=st.none() | TEXT,
    length=st.integers(0, 9999),
    truncated=st.booleans(),
    text=TEXT | st.just("a\u2028b\x85c\r\nd\ud800"),
    score=st.none() | st.floats(0, 1),
)


@given(samples=st.lists(SAMPLES, max_size=5))
def test_samples_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]) -> None:
    path = tmp_path_factory.mktemp("samples") / "deep" / "evaluation.jsonl"
    write_samples(path, samples)
    assert read_samples(path) == samples
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]  # no temporary file is left


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.jsonl"
    one = Sample("p", 0, True, True, "correct", "1", 3, False, "#### 1")
    write_samples(path, [one])
    with pytest.raises(RuntimeError):
        write_samples(path, (one if i < 3 else _crash() for i in range(5)))
    assert read_samples(path) == [one]


def _crash() -> Sample:
    raise RuntimeError


GOOD = {
    "problem_id": "p",
    "index": 0,
    "greedy": True,
    "correct": True,
    "reason": "correct",
    "extracted": "1",
    "length": 3,
    "truncated": False,
    "text": "#### 1",
}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not a JSON object"),
        ("[]", "exactly the fields"),
        (json.dumps({**GOOD, "more": 1}), "exactly the fields"),
        (json.dumps({**GOOD, "index": True}), "field 'index' is True; it must be int"),
        (json.dumps({**GOOD, "text": None}), "field 'text' is None; it must be str"),
        (json.dumps({**GOOD, "score": "high"}), "field 'score' is 'high'; it must be float"),
        ("", "not a JSON object"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "evaluation.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{line}\n{json.dumps(GOOD)}\n")
    with pytest.raises(UserError, match=message) as caught:
        read_samples(path)
    assert f"{path}:2:" in str(caught.value)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_samples(tmp_path / "none.jsonl")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        read_samples(tmp_path / "bytes.jsonl")
