"""Agents of rounds from the command line, with few samples a problem and with many."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reasonenv.cli import main

ENV = "reasonenv/Chain-Response-v0"
EASY = ("operands=2", "operators=+", "size=16", "max_tokens=16", "eval_problems=4", "epochs=1")


@pytest.mark.parametrize(("samples", "problems"), [(4, 16), (96, 2)])
def test_expert_iteration_runs_with_few_and_with_many_samples(
    samples: int, problems: int, prior: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    numbers = (f"samples_per_problem={samples}", f"problems_per_iteration={problems}", "solutions_per_problem=4")
    run = ["--policy", str(prior), "--iterations", "2", "--out", str(out), "--json"]
    assert main(["train", "ei", ENV, *EASY, *numbers, *run]) == 0
    before, *rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["rollouts"] for row in (before, *rows)] == [i * samples * problems for i in range(3)]
    assert 0 < rows[0]["kept"] <= rows[1]["kept"] <= 4 * 2 * problems  # the cap holds, and nothing is forgotten


def test_a_conditioned_policy_is_measured_behind_the_negated_goal_too(prior: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = ["--policy", str(prior), "--iterations", "1", "--out", str(out), "--json"]
    assert main(["train", "rcrl", ENV, *EASY, "good=G", "bad=B", *run]) == 0
    assert 0 <= json.loads((out / "summary.json").read_text())["negated_goal"] <= 1
    assert json.loads((out / "policy" / "goals.json").read_text()) == {"asked": "G", "contrary": "B"}
    assert main(["train", "rcrl", ENV, *EASY, "good=B", "bad=B", *run]) == 2
