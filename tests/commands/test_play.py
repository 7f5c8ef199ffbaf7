"""`reasonenv play`: a person types, and sees rewards, flags and the verdict."""

from __future__ import annotations

import io

import pytest

from reasonenv.catalog import make_task
from reasonenv.cli import main


def play(
    granularity: str, typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *keys: str
) -> list[str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert main(["play", f"reasonenv/Chain-{granularity}-v0", "operands=2", *keys]) == 0
    return capsys.readouterr().out.splitlines()


QUESTION = make_task("Chain", operands=2).problems[0]
SOLUTION = f"{QUESTION.steps[0]}\n#### {QUESTION.answer}\n"


def test_a_response_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = play("Response", SOLUTION.strip().replace("\n", r"\n") + "\n", monkeypatch, capsys)
    assert lines[0] == QUESTION.question
    assert lines[3].startswith("> ")
    assert "reward +1.000" in lines[3]
    assert lines[3].endswith("terminated=True truncated=False")
    assert lines[4] == f"  verdict correct: found {QUESTION.answer!r}, gold {QUESTION.answer!r}"


@pytest.mark.parametrize("granularity", ["Step", "Token"])
def test_steps_and_tokens_end_with_an_empty_line(
    granularity: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = "\n".join(play(granularity, SOLUTION + "\n", monkeypatch, capsys))
    # a step shows its reward even if there is none; of tokens only those that earn something or end it
    assert told.count("terminated=False truncated=False") == (2 if granularity == "Step" else 0)
    assert told.count("terminated=True truncated=False") == 1
    assert "reward +1.000" in told
    assert f"verdict correct: found {QUESTION.answer!r}" in told


def test_dense_reward_is_shown_where_it_is_earned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = play("Step", SOLUTION + "\n", monkeypatch, capsys, "reward=dense")
    earned = [line for line in lines if "terminated=False" in line]
    assert "reward +0.000" not in earned[0]  # the reference step


def test_a_wrong_answer_and_a_cut_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told = "\n".join(play("Response", "#### 12345\n", monkeypatch, capsys))
    assert f"verdict wrong: found '12345', gold {QUESTION.answer!r}" in told
    # a budget of 4 tokens cuts the response before it ends
    told = "\n".join(play("Step", "1+1=2\n", monkeypatch, capsys, "max_tokens=4"))
    assert "terminated=False truncated=True" in told
    assert "verdict no_answer" in told


def test_ctrl_d_leaves(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert "verdict" not in "\n".join(play("Token", "", monkeypatch, capsys))
