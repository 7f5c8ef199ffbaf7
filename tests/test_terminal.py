from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.cli import main
from reasonenv.experiment.cells import Cell
from reasonenv.experiment.config import RunConfig
from reasonenv.experiment.scheduler import outcome
from reasonenv.learn.log import RunLog
from reasonenv.mdp.make import make_env
from reasonenv.terminal import printable

HOSTILE = "a\x1b[2J\x1b]0;title\x07\r\x9b31mb\u202e\u2028\x00\x7f"


def test_control_codes_are_shown() -> None:
    assert printable("7 + 5 = 12 é→") == "7 + 5 = 12 é→"
    assert printable("\x1b[2Ja\tb\n") == "\\x1b[2Ja\\tb\\n"
    assert printable("a\nb\x07", keep="\n") == "a\nb\\x07"
    assert printable("\u202e\ud800") == "\\u202e\\ud800"


@given(st.text(st.characters()))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = printable(text)
    assert {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"} == set()


def test_sample_answers_on_the_console_and_errors_are_shown_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = RunLog(tmp_path, iteration=0, used=0, budget=1, unit="rollouts")
    log.answers(1, [(f"{HOSTILE}?", HOSTILE, "wrong")])
    log.close()
    shown = capsys.readouterr().out
    assert shown.count("\\x1b[2J") == 2
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert main(["train", f"grpo{HOSTILE}", "reasonenv/Chain-Response-v0", "--out", str(tmp_path / "run")]) == 2
    assert all(c.isprintable() or c == "\n" for c in capsys.readouterr().err)


def test_what_a_failed_cell_says_is_shown_so(tmp_path: Path) -> None:
    cell = Cell(RunConfig(agent="grpo", env="reasonenv/Chain-Response-v0"), "grpo", "tiny", "sft", code={})
    (tmp_path / "cell.json").write_text(json.dumps({"status": "failed", "error": HOSTILE}))
    assert outcome(cell, tmp_path).isprintable()


def test_a_rendered_episode_is_one_line_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    env = make_env("Chain", "response", render_mode="ansi")
    env.reset(options={"problem": 0})
    env.step(env.mdp.tokenizer.encode(f"{HOSTILE}\n#### 1\n"))
    shown = str(env.render())
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert "\\x1b[2J" in shown
