"""What a run leaves beside its answers: the base budget of its policy, and the set that it has imitated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reasonenv.catalog import make_task
from reasonenv.cli import main
from reasonenv.measures.discovery import BASE, Draws
from reasonenv.measures.parquet import read_records
from reasonenv.measures.samples import EVALUATION, read_samples
from reasonenv.measures.training_set import TRAINING_SET, Solution
from reasonenv.tasks import reference_solution

ENV = "reasonenv/Chain-Response-v0"
EASY = ("operands=2", "operators=+", "size=16", "max_tokens=16", "eval_problems=8")  # as the prior has it


@pytest.fixture(scope="module")
def imitator(prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ei") / "run"
    keys = ("lr=1e-5", "samples_per_problem=4", "solutions_per_step=8", "epochs=1", "eval_samples=2", "base_samples=32")
    command = ["train", "ei", ENV, *EASY, *keys, "--policy", str(prior), "--iterations", "2"]
    assert main([*command, "--out", str(out), "--json"]) == 0
    return out


def test_every_held_out_problem_has_its_base_draws(imitator: Path) -> None:
    draws = read_records(imitator / BASE, Draws)
    assert [d.problem_id for d in draws] == list(
        dict.fromkeys(s.problem_id for s in read_samples(imitator / EVALUATION))
    )
    assert all(d.drawn in ((2, 4, 8, 16, 32) if d.right else (32,)) for d in draws)
    assert any(d.right for d in draws)


def test_the_final_training_set_is_kept_with_its_reference_solutions(imitator: Path) -> None:
    solutions = read_records(imitator / TRAINING_SET, Solution)
    last = json.loads((imitator / "metrics.jsonl").read_text().splitlines()[-1])
    found = [s for s in solutions if not s.reference]
    assert len(found) == last["kept"] > 0
    assert all(s.correct for s in found)  # expert iteration imitates nothing else
    problems = {p.id: p for p in make_task("Chain", operands=2, operators="+", size=16).problems}
    references = {s.problem_id: s for s in solutions if s.reference}
    assert references.keys() == {s.problem_id for s in found}
    for name, solution in references.items():
        assert (solution.text, solution.question) == (reference_solution(problems[name]), problems[name].question)
