"""Searches from the command line: their cost is told, no gold is seen where answers are measured, kills do no harm."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reasonenv.cli import main
from reasonenv.errors import UserError
from reasonenv.experiment.config import describe_run
from reasonenv.experiment.suite import read_suite
from reasonenv.measures.samples import read_samples

ENV = "reasonenv/Chain-Response-v0"
EASY = ("operands=2", "operators=+", "size=16", "max_tokens=16", "eval_problems=8", "eval_every=2")

DYING = """
import fnmatch, os, signal, sys
from reasonenv.cli import main
from reasonenv.learn import loop as train

train.SAVING_SHARE = 1e-9
def hook(event, arguments):
    if event == "os.rename" and fnmatch.fnmatch(str(arguments[0]), "*/evaluations/.000002.parquet.*.partial"):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.exit(main(ARGUMENTS))
"""


def evaluated(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["eval", *words, "--problems", "8", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def train(agent: str, prior: Path, out: Path, *keys: str) -> list[str]:
    settings = ["problems_per_iteration=4", "samples_per_problem=2", "--iterations", "3", "--json"]
    return ["train", agent, ENV, *EASY, "--policy", str(prior), "--out", str(out), *settings, *keys]


@pytest.mark.parametrize("search", ["tree", "best_first", "best_of_n", "evolution"])
def test_the_answers_of_a_search_stand_beside_the_greedy_ones_with_their_tokens(
    search: str, prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "answers.parquet"
    keys = [f"search={search}", "search_tokens=100", "--samples", "2"]
    found = evaluated(capsys, str(prior), *keys, "--out", str(out))
    plain = evaluated(capsys, str(prior), "--samples", "2")
    assert {name: found[name] for name in plain} == plain  # nothing else has changed
    assert found.keys() - plain.keys() == {"search_accuracy", "search_tokens"}
    rows = [sample for sample in read_samples(out) if sample.selected]
    assert len(rows) == 8
    assert found["search_tokens"]["value"] == sum(row.search_tokens or 0 for row in rows) / 8 <= 100
    assert found["search_accuracy"]["value"] == sum(row.correct for row in rows) / 8
    assert all(row.logp is None for row in rows)


def test_what_no_budget_suffices_for_is_no_answer(prior: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluated(capsys, str(prior), "search=tree", "search_tokens=1")
    assert (found["search_accuracy"]["value"], found["search_tokens"]["value"]) == (0.0, 1.0)


def test_a_killed_run_with_a_search_ends_as_one_that_was_not(
    prior: Path, tmp_path: Path, apart: Callable[..., int], result: Callable[[Path], dict[str, Any]]
) -> None:
    keys = ("search=tree", "search_tokens=80", "solutions_per_step=8", "epochs=2")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(train("ei", prior, whole, *keys)) == 0
    ended = apart(exec, DYING, {"ARGUMENTS": train("ei", prior, killed, *keys)})
    assert ended == -signal.SIGKILL
    assert main(train("ei", prior, killed, *keys)) == 0
    assert result(killed) == result(whole)
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert 0 < rows[-1]["tokens"] <= 3 * 4 * 80
    assert "accuracy" not in rows[-1]  # what was selected says nothing of the policy
    assert "selected/accuracy" in rows[-1]


def test_a_search_is_a_row_of_its_own_and_learns_nothing(prior: Path, tmp_path: Path) -> None:
    out = tmp_path / "searched"
    command = ["train", "searched", ENV, *EASY, "--policy", str(prior), "--out", str(out), "--iterations", "1"]
    assert main([*command, "search=best_of_n", "search_tokens=64", "--json"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert 0 < summary["search_tokens"] <= 64
    assert [row.greedy for row in read_samples(out / "evaluation.parquet")] == [True] * 8


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("eval tiny {env} search=tree", "search=tree has no budget; give search_tokens=, say 2048"),
        ("eval tiny {env} search=tree search_tokens=0", "search_tokens is 0; it must be at least 1"),
        ("eval tiny {env} search_tokens=9", "search_tokens is 9; without search= it means nothing"),
        ("eval tiny {env} search=tre search_tokens=9", "unknown search 'tre'; did you mean tree?"),
        ("eval tiny {env} search=tree search_tokens=9 search_value=verdict", "looks at the reference answers"),
        ("eval tiny {env} search=tree search_tokens=9 search_value=runs/orm", "holds no reward model"),
        (
            "eval tiny {env} search=tree search_tokens=9 stochastic=sticky:0.1",
            "leave out the search, or replies=, tools= and stochastic=",
        ),
        ("train grpo {env} --out x search=tree search_tokens=9", "grpo learns from samples as draws"),
        ("train orm {env} --out x search=tree search_tokens=9", "orm learns from samples as draws"),
        ("train tree {env} --out x search=tree search_tokens=9", "tree learns from samples as draws"),
        ("train rcrl {env} --out x search=tree search_tokens=9", "rcrl writes behind goals, which no search sets"),
        ("train ei {env} --out x search=tree", "search=tree has no budget"),
        ("train ei {env} --out x search=tree search_tokens=9 stochastic=sticky:0.1", "leave out the search, or"),
        ("train searched {env} --out x", "searched has no search; give one with its budget"),
        (
            "train searched {env} --out x search=tree search_tokens=9 search_value=verdict",
            "looks at the reference answers",
        ),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_one_line(
    command: str, words: str, refused: Callable[[str], str]
) -> None:
    assert words in refused(command.format(env=ENV))


SEARCH = """
from reasonenv.rollout.search import Search, chosen

class Eight(Search):
    def run(self, draws, value, samples):
        responses = draws.responses([root for root in draws.roots() for _ in range(8)])
        return chosen(draws, responses, value, samples)
""".lstrip()


def test_a_search_in_a_file_is_a_part_of_the_run(prior: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "mine.py", tmp_path / "run"
    file.write_text(SEARCH)
    assert main(train("ei", prior, out, f"search={file}:Eight", "search_tokens=400", "epochs=1")) == 0
    # a run whose files are others than those that it names is not gone on with: tests/commands/test_identity.py
    assert "mine.py" in json.loads((out / "run.json").read_text())["code"]["files"]
    assert (out / "code" / "mine.py").read_text() == SEARCH
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["rollouts"] == 3 * 4 * 8  # all that were drawn, and 2 a problem are learned from


SUITE = """
title = "Tokens spent otherwise"
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0]
ks = [1]
[keys]
operands = 2
operators = "+"
iterations = 1
[inits.sft]
iterations = 1
[agents.searched]
search = "tree"
search_tokens = 64
[agents.ei]
problems_per_iteration = 4
samples_per_problem = 2
[agents.ei_tree]
agent = "ei"
search = "tree"
search_tokens = 64
"""


def test_a_search_is_a_setting_of_an_agent_in_a_suite(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(SUITE)
    runs = {cell.agent: cell.run for cell in read_suite(tmp_path / "suite.toml").cells}
    assert [runs[name].search for name in ("searched", "ei", "ei_tree")] == ["tree", None, "tree"]


def test_what_learns_from_rewards_learns_from_those_of_a_reward_model() -> None:
    assert describe_run("best_of_n", ENV, {"orm": "runs/orm"}).orm == "runs/orm"
    with pytest.raises(UserError, match="ei does not learn from rewards"):
        describe_run("ei", ENV, {"orm": "runs/orm"})
