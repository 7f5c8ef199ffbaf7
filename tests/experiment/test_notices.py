"""A suite whose initial policy leaves nothing to learn, or nothing to gain, says so before its agents run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reasonenv.cli import main
from reasonenv.experiment.notices import notice, refuse_without_signal
from reasonenv.experiment.suite import Suite, read_suite
from reasonenv.measures.samples import Sample

FILE = """
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0]
ks = [1, 2]
keys = { operands = 2, operators = "+", size = 16, max_tokens = 16, eval_problems = 4, problems_per_iteration = 2 }
inits.scratch = { iterations = 0 }
agents.grpo = { iterations = 1, samples_per_problem = 2 }
"""


def samples(problems: int, right: int, of: int) -> list[Sample]:
    """A wrong greedy answer and `of` samples to each problem; those to the first `right` problems are right."""
    rows = []
    for number in range(problems):
        for index, greedy in [(0, True), *((i, False) for i in range(of))]:
            correct = number < right and not greedy
            reason = "correct" if correct else "wrong"
            rows.append(Sample(f"p/{number}", index, greedy, correct, reason, "1", 1, False, "1"))
    return rows


@pytest.mark.parametrize(
    ("right", "words"),
    [
        (0, "answers nothing right in 900 answers to 100 problems"),  # 1 greedy and 8 sampled a problem
        (1, None),
        (97, None),  # pass@8 is 0.97: above it only
        (98, "pass@8 of the initial policy is 0.980, so hardly anything is left to gain"),
    ],
)
def test_no_signal_and_no_room_are_told_with_what_to_change(right: int, words: str | None) -> None:
    told = notice(samples(100, right, 8), ks=(1, 8, 16))  # of 8 samples there is no pass@16
    assert (told is None) == (words is None)
    assert told is None or (words in str(told) and "(inits)" in told and "\n" not in told)


def read(folder: Path, text: str) -> Suite:
    (folder / "small.toml").write_text(text)
    return read_suite(folder / "small.toml")


@pytest.mark.parametrize(
    "change", ["agents.sft = { iterations = 1 }", 'agents.own = { agent = "sft", iterations = 1 }']
)
def test_a_suite_with_sft_goes_on_without_signal(tmp_path: Path, change: str) -> None:
    refuse_without_signal(read(tmp_path, FILE + change), {"initial": samples(4, 0, 2)})


def test_one_initial_policy_with_signal_suffices(tmp_path: Path) -> None:
    refuse_without_signal(read(tmp_path, FILE), {"scratch": samples(4, 0, 2), "light": samples(4, 1, 2)})


def test_a_suite_without_signal_stops_before_its_agents_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read(tmp_path, FILE)
    command = ["bench", "run", str(tmp_path / "small.toml"), "--out", str(tmp_path / "out"), "--jobs", "2"]
    for _ in range(2):  # also when the initial policy is done already
        assert main(command) == 2
        told = capsys.readouterr()
        assert (
            "init scratch: the initial policy answers nothing right in 12 answers to 4 problems" in told.out + told.err
        )
        assert "no answer of any initial policy of small is right" in told.err
        assert "write without_signal = true to go on" in told.err
        assert not list((tmp_path / "out" / "cells").glob("grpo-*/metrics.jsonl"))
    read(tmp_path, f"without_signal = true\n{FILE}")
    assert main(command) == 0
    record = json.loads((tmp_path / "out" / "suite.json").read_text())
    (told_there,) = record["notices"]
    assert (told_there["init"], told_there["variant"]) == ("scratch", "")
    assert "answers nothing right" in told_there["notice"]
