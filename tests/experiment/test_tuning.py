"""Settings are chosen on validation problems with equally many trials of every agent, and a report can tell."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.cli import main
from reasonenv.errors import UserError
from reasonenv.experiment.suite import Suite, read_suite, suite_path, suites
from reasonenv.experiment.suite_config import to_toml
from reasonenv.experiment.tune import trials_of
from reasonenv.measures.samples import EVALUATION, read_samples
from reasonenv.measures.tuning_record import provenance_of_settings

FILE = """
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0, 1]
ks = [1, 2]
without_signal = true
keys = { operands = 3, operators = "+", size = 200, max_tokens = 24, eval_problems = 4, problems_per_iteration = 4 }
inits.prior = { iterations = 1 }
agents.grpo = { iterations = 1, samples_per_problem = 2 }
agents."more sft" = { agent = "sft", iterations = 4, lr = 1.0 }
tune = { lr = [1e-5, 3e-3], seeds = [100], problems = 8 }
"""


def read(folder: Path, text: str) -> Suite:
    (folder / "small.toml").write_text(text)
    return read_suite(folder / "small.toml")


def test_every_agent_has_equally_many_trials_none_of_them_on_what_is_reported(tmp_path: Path) -> None:
    start = FILE.partition('agents."more')[0] + "agents.maxrl = { iterations = 1, samples_per_problem = 2 }\n"
    table = "tune = { temperature = [0.9, 1.0, 1.1], lr = [1e-5, 3e-3], seeds = [100], problems = 8 }\n"
    suite = read(tmp_path, start + table)
    trials = trials_of(suite)
    counts = Counter(cell.agent.partition(",")[0] for cell in trials.cells)
    assert counts == {"initial": 1, "grpo": 6, "maxrl": 6}  # 3 temperatures x 2 learning rates x 1 seed
    assert {cell.run.holdout for cell in trials.cells} == {"validation"}  # of the initial policy as well
    assert {cell.run.seed for cell in trials.cells if cell.agent != "initial"} == {100}
    assert {cell.run.eval_problems for cell in trials.cells} == {8}
    assert {cell.name for cell in trials.cells}.isdisjoint(cell.name for cell in suite.cells)


@pytest.mark.parametrize("name", suites())
def test_the_trials_of_packaged_suites_can_be(name: str) -> None:
    suite = read_suite(suite_path(name))
    if suite.config.tune is not None:
        agents = Counter(cell.agent for cell in trials_of(suite).cells if ", trial " in cell.agent)
        assert len(agents) == len(suite.config.agents) * len(suite.config.tune["lr"])
        assert len(set(agents.values())) == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("{ lr = [1e-5, 1e-4] }", "tune.seeds is missing"),
        ("{ lr = [1e-5, 1e-4], seeds = [1] }", "tune.seeds has 1, which is among seeds too"),
        ("{ lr = [1e-5, 1e-5], seeds = [9] }", "tune.lr is [1e-05, 1e-05]; it must be a list of two or more different"),
        ("{ lr = 1e-5, seeds = [9] }", "tune.lr is 1e-05; it must be a list"),
        ("{ seeds = [9] }", "tune has no setting to choose"),
        ("{ lr = [1e-5, 1e-4], seeds = [9], problems = 0 }", "tune.problems is 0"),
    ],
)
def test_a_table_that_asks_for_nothing_sensible_is_refused(tmp_path: Path, table: str, message: str) -> None:
    start = FILE.partition("tune =")[0]
    with pytest.raises(UserError) as raised:
        read(tmp_path, f"{start}tune = {table}\n")
    assert message in str(raised.value)
    assert "small.toml" in str(raised.value)


def test_a_suite_without_the_table_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"small has no table \[tune\]; add one, such as tune = "):
        trials_of(read(tmp_path, FILE.partition("tune =")[0]))


VALUES = st.one_of(st.text(), st.integers(), st.floats(allow_nan=False), st.booleans(), st.lists(st.text(max_size=3)))
TABLES = st.dictionaries(st.text(), st.one_of(VALUES, st.dictionaries(st.text(), VALUES, max_size=3)), max_size=3)


@given(st.dictionaries(st.text(), st.one_of(VALUES, TABLES), max_size=4))
def test_a_suite_is_written_as_it_would_be_read(spec: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(spec)) == spec


def test_tuning_takes_the_best_and_leaves_a_suite_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, out = read(tmp_path, FILE), tmp_path / "tuned"
    command = ["bench", "tune", str(tmp_path / "small.toml"), "--out", str(out), "--jobs", "2"]
    assert main(command) == 0
    assert "in 2 trials an agent with another seed than those reported" in capsys.readouterr().out
    shares: dict[str, float] = {}  # from the answers themselves
    for cell in (out / "trials" / "cells").iterdir():
        samples = [s for s in read_samples(cell / EVALUATION) if s.greedy]
        assert all(s.problem_id.startswith("chain/train/") for s in samples)
        assert len(samples) == 8
        shares[json.loads((cell / "cell.json").read_text())["agent"]] = sum(s.correct for s in samples) / 8
    tuned = read_suite(out / "suite.toml")
    for agent, record in (tuned.config.tuned or {})["agents"].items():
        accuracies = [shares[f"{agent}, trial {number}"] for number in (1, 2)]
        assert [trial["accuracy"] for trial in record["tried"]] == accuracies
        best = {"lr": 1e-5 if accuracies[0] >= accuracies[1] else 3e-3}  # of equal ones the first
        assert record["chosen"] == best
        assert tuned.config.agents[agent] == {**suite.config.agents[agent], **best}
    assert tuned.config.seeds == suite.config.seeds
    assert tuned.config.tune is None
    before = {path: path.stat().st_mtime_ns for path in (out / "trials" / "cells").rglob("*")}
    assert main(command) == 0  # what is done is not run again
    assert {path: path.stat().st_mtime_ns for path in (out / "trials" / "cells").rglob("*")} == before


TUNED = """
[tuned]
split = "validation"
problems = 300
trials = 3
keys = ["lr"]
seeds = [100]
[tuned.agents]
grpo = { chosen = { lr = 1e-4 }, tried = [] }
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("lr = 1e-4 }, tried", "lr = 1e-3 }, tried"),
            "agents.grpo: lr is 0.0001, but tuned says that 0.001 was chosen",
        ),
        (("seeds = [100]", "seeds = [100, 1]"), "tuned.seeds has 1, which is among seeds too"),
        (("grpo = { chosen", "ppo = { chosen"), "tuned says nothing of agent 'grpo'"),
        (('"validation"', '"test"'), "tuned is no record of"),
        (("trials = 3", "trials = 'many'"), "tuned is no record of"),
        (("chosen = { lr = 1e-4 }", "chosen = 1"), "tuned is no record of"),
    ],
)
def test_a_record_that_is_not_true_is_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    start = FILE.partition('agents."more')[0].replace("samples_per_problem = 2", "samples_per_problem = 2, lr = 1e-4")
    assert (read(tmp_path, start + TUNED).config.tuned or {})["trials"] == 3
    with pytest.raises(UserError) as raised:
        read(tmp_path, start + TUNED.replace(*change))
    assert message in str(raised.value)


def test_a_sentence_says_how_settings_were_chosen_or_that_nothing_is_known() -> None:
    last = "of every agent the last iterate is reported, no checkpoint is chosen."
    record = tomllib.loads(TUNED)
    assert provenance_of_settings(record["tuned"]) == (
        "Of each agent lr was chosen by greedy accuracy on 300 validation problems, in 3 trials an agent with another "
        f"seed than those reported; {last}"
    )
    unknown = f"Settings are those of the suite file, without a record of tuning; {last}"
    for hostile in (None, {}, [], {**record["tuned"], "agents": [1]}):
        assert provenance_of_settings(hostile) == unknown
