"""Curricula: the level is a function of the iteration alone, the log tells it, and a resumed run is at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.errors import UserError
from reasonenv.experiment.config import RunConfig, describe_run
from reasonenv.experiment.processes import processes
from reasonenv.experiment.train import train
from reasonenv.learn import loop
from reasonenv.learn.curriculum import Curriculum, read_levels
from reasonenv.learn.log import RunLog
from reasonenv.mdp.make import make_mdp
from reasonenv.measures.pair import MEASURED

KEYS = {"operators": "+", "size": 8, "eval_problems": 1, "eval_every": 100, "lr": 1e-3}


def described(curriculum: str, **named: Any) -> RunConfig:
    keys = {**KEYS, "curriculum": curriculum, "problems_per_iteration": 2}
    return describe_run("sft", "reasonenv/Chain-Response-v0", keys, iterations=4, **named)


def test_levels_share_a_run_equally() -> None:
    course = Curriculum((make_mdp("Chain", size=2),) * 3)
    assert [course.level(i, 6) for i in range(7)] == [0, 0, 1, 1, 2, 2, 2]
    assert [course.level(i, 7) for i in range(7)] == [0, 0, 0, 1, 1, 2, 2]
    assert [course.level(i, 2) for i in range(2)] == [0, 1]  # a run too short for the last one


@given(levels=st.integers(1, 5), iterations=st.integers(5, 60))
def test_no_level_is_left_out_and_none_comes_back(levels: int, iterations: int) -> None:
    course = Curriculum((make_mdp("Chain", size=1),) * levels)
    seen = [course.level(i, iterations) for i in range(iterations)]
    assert seen == sorted(seen)
    counts = [seen.count(level) for level in range(levels)]
    assert max(counts) - min(counts) <= 1


def test_a_level_is_the_task_with_its_settings_and_ids_of_its_own() -> None:
    course, held_out = processes(described("operands:2,4 digits:1,2"))
    assert [level.problems[0].question.count("+") for level in course.levels] == [1, 3]
    alone = make_mdp("Chain", size=8, operators="+", operands=4, digits=2)
    assert [p.question for p in course.levels[1].problems] == [p.question for p in alone.problems]
    assert course.levels[1].problems[5].id == "chain/train/0/5@operands=4,digits=2"
    assert course.levels[1].max_tokens == alone.max_tokens
    assert held_out.problems[0].question.count("+") == 2  # three operands, as the environment's own settings say
    other, _ = processes(described("operands:2,3 digits:1,2"))
    assert len({course.fingerprint, other.fingerprint, course.levels[0].task.fingerprint}) == 3


def test_a_setting_of_the_environment_may_change_too() -> None:
    course, _ = processes(described("reward:dense,sparse stochastic:sticky:0.1,none"))
    assert [level.pays_steps for level in course.levels] == [True, False]
    assert [level.stochastic for level in course.levels] == [True, False]


def test_a_value_may_hold_for_several_parts_in_a_row() -> None:
    assert [level["operands"] for level in read_levels("operands:4*3,3")] == ["4", "4", "4", "3"]
    course, _ = processes(described("operands:4*3,3"))
    assert course.levels[0] is course.levels[2]  # equal parts are one process
    assert [course.level(i, 8) for i in (0, 5, 6, 7)] == [0, 2, 3, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("operands:2*0", "write KEY:VALUE,VALUE"),
        ("operands", "write KEY:VALUE,VALUE"),
        ("operands:2,,3", "write KEY:VALUE,VALUE"),
        ("operands:2,3 operands:3,4", "write KEY:VALUE,VALUE"),
        ("operands:2,3 digits:1", "operands has 2, digits has 1; give every key the same number"),
        ("operands:2", "operands has 1; give every key"),
        (" ", "it names no key"),
    ],
)
def test_what_is_no_schedule_is_refused(text: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        read_levels(text)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("operand:2,3", "did you mean operands"),
        ("operands:2,many", "operands is 'many'; it must be int"),
        ("operands:2,99", "operands is 99; it must be 2 to 12"),
        ("split:train,test", "curriculum changes split"),
    ],
)
def test_a_level_that_cannot_be_made_is_refused_before_the_run(text: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        processes(described(text))
    assert told in str(error.value)


def told(out: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in MEASURED} for row in rows]


def test_the_level_is_logged_and_an_interrupted_run_ends_as_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVING_SHARE", 1e9)  # every iteration
    run, row = described("operands:2,3"), RunLog.row
    train(run, tmp_path / "whole", quiet=True)
    rows = told(tmp_path / "whole")[1:]
    levels = [(r["curriculum/level"], r["curriculum/operands"]) for r in rows]
    assert levels == [(0, 2), (0, 2), (1, 3), (1, 3)]

    def interrupted(self: RunLog, metrics: Any) -> None:
        row(self, metrics)
        if metrics["iteration"] == 3:  # on the second level; the last checkpoint is of iteration 2
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "row", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(run, tmp_path / "parts", quiet=True)
    train(run, tmp_path / "parts", quiet=True)
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    first, second = ((tmp_path / out / "policy" / "model.safetensors").read_bytes() for out in ("whole", "parts"))
    assert first == second
