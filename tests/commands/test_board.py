"""TensorBoard shows what the files of a run hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

from reasonenv.measures.metrics import summarise
from reasonenv.measures.samples import EVALUATION, read_samples


@pytest.fixture(scope="module")
def board(whole: Callable[[str], Path]) -> EventAccumulator:
    found = EventAccumulator(str(whole("grpo") / "tensorboard"), size_guidance={TENSORS: 0})
    found.Reload()
    return found


def test_scalars_are_the_rows_of_the_metrics(board: EventAccumulator, whole: Callable[[str], Path]) -> None:
    rows = [json.loads(line) for line in (whole("grpo") / "metrics.jsonl").read_text().splitlines()]
    expected = {
        (name if "/" in name else f"train/{name}", row["iteration"], value)
        for row in rows
        for name, value in row.items()
        if math.isfinite(value)
    }
    shown = {tag: {e.step: e.value for e in board.Scalars(tag)} for tag in board.Tags()["scalars"]}
    assert {(tag, step) for tag, step, _ in expected} == {
        (tag, step) for tag, at in shown.items() for step in at if tag != "eval/pass@k"
    }
    assert all(shown[tag][step] == pytest.approx(value, rel=1e-6) for tag, step, value in expected)


def test_pass_at_k_is_a_curve_over_k(board: EventAccumulator, whole: Callable[[str], Path]) -> None:
    found = summarise(read_samples(whole("grpo") / EVALUATION), [1, 2])
    curve = [(e.step, e.value) for e in board.Scalars("eval/pass@k")]
    assert curve == [(k, pytest.approx(found[f"pass@{k}"].value)) for k in (1, 2)]


def test_sample_answers_are_texts(board: EventAccumulator, whole: Callable[[str], Path]) -> None:
    tags = [tag for tag in board.Tags()["tensors"] if tag.startswith("answers/")]
    assert len(tags) == 3
    (path,) = (whole("grpo") / "evaluations").glob("000008.parquet")
    texts = {s.text for s in read_samples(path)}
    last = [board.Tensors(tag)[-1] for tag in tags]
    assert {event.step for event in last} == {8}
    for event in last:
        shown = event.tensor_proto.string_val[0].decode()
        assert any(all(line in shown for line in text.splitlines()) for text in texts)
        assert "gold" in shown
