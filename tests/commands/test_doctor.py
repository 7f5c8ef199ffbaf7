"""The doctor: says nothing of a policy that can learn, and what to change of one that cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reasonenv.cli import main
from reasonenv.experiment import doctor

ENV = "reasonenv/Chain-Response-v0"
EASY = ("operands=2", "operators=+", "size=16")


def examined(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["doctor", *words, "--json"])
    return code, {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}


def test_a_policy_that_can_learn_is_fine(prior: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = examined(capsys, str(prior), ENV, *EASY, "max_tokens=16", "--samples", "8")
    assert list(found) == ["tokenizer", "template", "verifier", "context", "ending", "signal", "gap", "memory"]
    assert {name for name, finding in found.items() if finding["state"] == "wrong"} == set()
    assert code == 0


def test_one_that_never_ends_is_told_to_learn_that_first(capsys: pytest.CaptureFixture[str]) -> None:
    # untrained it draws EOS once in 257 tokens, so 16 of them hold one in 6 % of all cases
    code, found = examined(capsys, "tiny", ENV, *EASY, "max_tokens=16")
    assert code == 1
    assert found["ending"]["state"] == found["signal"]["state"] == "wrong"
    assert "set max_tokens=32, or train sft first" in found["ending"]["change"]
    assert "train sft first" in found["signal"]["change"]
    assert found["gap"]["state"] == "fine"


def test_where_nothing_fits_nothing_is_sampled(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = examined(capsys, "tiny", ENV, *EASY, "max_tokens=600")
    assert code == 1
    assert list(found)[-1] == "context"
    assert "set max_tokens to at most" in found["context"]["change"]


@pytest.mark.parametrize(("words", "told"), [((), "tokens_per_microbatch="), (("--lora", "4"), "checkpointing=true")])
def test_too_little_memory_says_what_to_lower(
    words: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if words:
        pytest.importorskip("peft")
    free = 2**20 if words else 2**27  # less than the weights; enough for some tokens but not for 8,192
    monkeypatch.setattr(doctor, "available", lambda device: free)
    code, found = examined(capsys, "tiny", ENV, *EASY, "max_tokens=4", "--samples", "2", "--problems", "1", *words)
    assert code == 1
    assert told in found["memory"]["change"]
    assert f"{free / 2**30:.1f} are free" in found["memory"]["seen"]


def test_a_person_is_shown_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "tiny", ENV, *EASY, "max_tokens=600"]) == 1
    out = capsys.readouterr().out
    assert "fine   tokenizer" in out
    assert "1 of 4 things are wrong" in out
    assert main(["doctor", "tiny", ENV, "--samples", "1"]) == 2
    assert "samples is 1; it must be at least 2" in capsys.readouterr().err
