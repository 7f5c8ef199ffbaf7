from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from reasonenv.errors import UserError
from reasonenv.measures.parquet import SUM, _sum
from reasonenv.measures.samples import Sample, load_samples, read_samples, write_samples

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)  # line separators, NUL, directions of writing
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
    text=TEXT | st.just("a\u2028b\x85c\r\nd"),
    canonical=st.none() | TEXT,
    score=st.none() | st.floats(0, 1),
    logp=st.none() | st.floats(max_value=0, allow_infinity=False),
    initial_logp=st.none() | st.floats(max_value=0),
    verdict_score=st.none() | st.floats(0, 1),
    metrics=st.none() | st.dictionaries(TEXT, st.floats(0, 1), min_size=1, max_size=3),
    selected=st.none() | st.booleans(),
    search_tokens=st.none() | st.integers(0, 2**40),
)
ONE = Sample("p", 0, True, True, "correct", "1", 3, False, "#### 1")


@settings(deadline=None)  # the first one waits for pyarrow, all of them for the disk
@given(samples=st.lists(SAMPLES, max_size=5))
def test_samples_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]) -> None:
    path = tmp_path_factory.mktemp("samples") / "deep" / "evaluation.parquet"
    write_samples(path, samples)
    first = path.read_bytes()
    assert read_samples(path) == samples
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]  # no temporary file is left
    write_samples(path, samples)
    assert path.read_bytes() == first


def test_half_a_surrogate_pair_becomes_what_every_reader_takes(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.parquet"
    write_samples(path, [replace(ONE, text="a\ud800b\U0001f600")])
    assert read_samples(path) == [replace(ONE, text="a\ufffdb\U0001f600")]


def test_files_of_before_there_were_scores_are_read(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.parquet"
    write_samples(path, [ONE, replace(ONE, index=1, correct=False, reason="wrong")])
    old = parquet.read_table(path).drop_columns(["verdict_score", "metrics"])
    parquet.write_table(old.replace_schema_metadata({SUM: _sum(old)}), path)  # as that version has written it
    assert read_samples(path) == [ONE, replace(ONE, index=1, correct=False, reason="wrong")]
    assert load_samples(path).verdict_score.tolist() == [1.0, 0.0]  # then a verdict was right or it was not


def test_any_program_for_tables_reads_them(tmp_path: Path) -> None:
    write_samples(tmp_path / "x.parquet", [ONE, replace(ONE, index=1, score=0.5)])
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.column("correct").to_pylist() == [True, True]
    assert table.column("score").to_pylist() == [None, 0.5]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.parquet"
    write_samples(path, [ONE])
    with pytest.raises(RuntimeError):
        write_samples(path, (ONE if i < 3 else _crash() for i in range(5)))
    assert read_samples(path) == [ONE]


def _crash() -> Sample:
    raise RuntimeError


Damage = Callable[[pa.Table], pa.Table]


def _with(name: str, values: list[Any]) -> Damage:
    return lambda table: table.set_column(table.column_names.index(name), name, pa.array(values))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.drop_columns(["text"]), "a row has exactly the columns problem_id, .*; found"),
        (lambda t: t.append_column("more", pa.array([1])), "a row has exactly the columns"),
        (_with("index", ["0"]), "column 'index' is string; it must be int64"),
        (_with("correct", [1]), "column 'correct' is int64; it must be bool"),
        (lambda t: _with("length", [None])(t).cast(t.schema.set(6, pa.field("length", pa.int64()))), "lacks values"),
    ],
)
def test_a_wrong_column_is_named(tmp_path: Path, damage: Damage, message: str) -> None:
    path = tmp_path / "evaluation.parquet"
    write_samples(path, [ONE])
    parquet.write_table(damage(parquet.read_table(path)), path)
    with pytest.raises(UserError, match=message) as caught:
        read_samples(path)
    assert str(path) in str(caught.value)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_samples(tmp_path / "none.parquet")
    whole = tmp_path / "whole.parquet"
    write_samples(whole, [ONE])
    for content in (b"", b"\xff\xfe", whole.read_bytes()[:-3], b'{"problem_id": "p"}\n'):
        (tmp_path / "bytes.parquet").write_bytes(content)
        with pytest.raises(UserError, match=r"bytes\.parquet: not a whole Parquet file"):
            read_samples(tmp_path / "bytes.parquet")


def test_no_flipped_byte_changes_a_sample_unseen(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.parquet"
    samples = []
    for i in range(80):
        text, chosen = f"#### {i}" * 9, {"selected": i % 5 == 0, "search_tokens": i}
        samples.append(Sample(f"p/{i}", i, i % 2 == 0, i % 3 == 0, "correct", str(i), i, False, text, **chosen))
    write_samples(path, samples)
    sound, detected = path.read_bytes(), 0
    draw = random.Random(0)
    for at in draw.sample(range(len(sound)), 300):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << draw.randrange(8)]) + sound[at + 1 :])
        try:
            assert read_samples(path) == samples  # the byte says nothing about the values
        except UserError:
            detected += 1
    assert detected > 200


def test_files_of_before_there_were_searches_hold_draws_alone(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.parquet"
    write_samples(path, [ONE, replace(ONE, index=1, greedy=False)])
    old = parquet.read_table(path).drop_columns(["selected", "search_tokens"])
    parquet.write_table(old.replace_schema_metadata({SUM: _sum(old)}), path)  # as that version has written it
    assert read_samples(path) == [ONE, replace(ONE, index=1, greedy=False)]
    assert load_samples(path).sampled.tolist() == [False, True]
