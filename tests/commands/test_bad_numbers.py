"""Runs that go wrong while they run: counted, kept for inspection, and stopped with the reason."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from reasonenv.cli import main
from reasonenv.core import Reason
from reasonenv.learn import checkpoint
from reasonenv.learn.loop import MAX_BATCHES, MAX_SKIPPED
from reasonenv.measures.samples import read_samples

ENV = "reasonenv/Chain-Response-v0"
SMALL = "operands=2 operators=+ size=16 max_tokens=16 eval_problems=2 problems_per_iteration=2 samples_per_problem=2"


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_whose_steps_are_not_finite_keeps_the_batches_and_stops(
    prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "exploding.py").write_text(
        "from reasonenv.agents.grpo import GRPO\n"
        "class Exploding(GRPO):\n"
        "    def surrogate(self, logp, micro, advantage):\n"
        "        return super().surrogate(logp, micro, advantage) * float('inf')\n"
    )
    out = tmp_path / "run"
    command = f"train {tmp_path}/exploding.py:Exploding {ENV} {SMALL} --policy {prior} --iterations 9 --out {out}"
    assert main([*command.split(), "epochs=2", "--json"]) == 2
    # two steps an iteration, so the third iteration is the one too many
    assert "6 optimiser steps in a row had a loss or gradient that is not finite" in capsys.readouterr().err
    last = rows(out)[-1]
    assert (last["iteration"], last["updates"], last["updates/refused"], last["refused"]) == (3, 0, 2, 6)
    assert 4 < MAX_SKIPPED <= 6
    kept = sorted((out / "refused").iterdir())
    assert [path.name for path in kept] == [f"{i:08d}.safetensors" for i in range(3)]
    batch = load_file(kept[0])
    assert {"tokens", "mask", "rewards", "old_logp"} <= batch.keys()
    assert len(batch["mask"]) == 4
    initial = load_file(prior / "policy" / "model.safetensors")
    now = checkpoint.load(checkpoint.saved(out / "checkpoints")[-1])[0]
    assert all(now[f"policy.{name}"].equal(tensor) for name, tensor in initial.items())


def test_a_reward_that_is_not_finite_stops_a_run(
    prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text("def broken(problem, before, after):\n    return float('nan')\n")
    out = tmp_path / "run"
    command = f"train grpo {ENV} {SMALL} --policy {prior} --iterations 2 --out {out} --json"
    assert main([*command.split(), f"reward={tmp_path}/broken.py:broken"]) == 2
    assert "100.0% of the samples have a reward that is not finite (limit 5%)" in capsys.readouterr().err
    assert (rows(out)[-1]["iteration"], rows(out)[-1]["updates"]) == (1, 0)


def test_groups_that_teach_nothing_are_replaced_and_every_rollout_counts(whole: Callable[[str], Path]) -> None:
    found = rows(whole("dapo"))
    for before, row in pairwise(found):
        sampled = row["groups/sampled"]
        assert row["rollouts"] - before["rollouts"] == 4 * sampled
        assert row["position"] - before["position"] == sampled
        assert 4 <= sampled <= 4 * MAX_BATCHES
        assert round(row["groups/kept"] * sampled) == 4  # the surplus is cut
    assert max(row["groups/sampled"] for row in found[1:]) > 4


def test_where_nothing_teaches_sampling_on_has_an_end_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # a policy that knows nothing is hardly ever right, least of all with a token and an end
    out = tmp_path / "run"
    short = SMALL.replace("max_tokens=16", "max_tokens=2")
    command = f"train dapo {ENV} {short} --policy tiny --iterations 1 --out {out}"
    assert main(command.split()) == 0
    told = capsys.readouterr().out
    assert f"sampled {2 * MAX_BATCHES} problems and still wanted" in told
    last = rows(out)[-1]
    assert (last["groups/sampled"], last["groups/kept"], last["updates"]) == (2 * MAX_BATCHES, 0, 0)
    assert last["rollouts"] == 2 * 2 * MAX_BATCHES
    assert f"iteration 0: none of {2 * MAX_BATCHES} groups teaches, the policy stays" in told


def test_a_policy_whose_weights_are_no_numbers_is_told_in_one_line(
    prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(prior / "policy", tmp_path / "policy")
    weights = load_file(tmp_path / "policy" / "model.safetensors")
    weights["model.norm.weight"][0] = math.nan
    save_file(weights, tmp_path / "policy" / "model.safetensors", {"format": "pt"})
    capsys.readouterr()
    for command in (f"train grpo {ENV} {SMALL} --out {tmp_path}/run --policy", f"eval {{}} {ENV} --problems 2 --json"):
        words = command.format(tmp_path) if "{}" in command else f"{command} {tmp_path}"
        assert main([*words.split(), *(["--json"] if words.startswith("train") else [])]) == 2
        complaint = capsys.readouterr().err
        assert "the policy's logits are not finite: its weights are broken" in complaint
        assert complaint.count("\n") == 1


RAISING = """
from dataclasses import replace
from reasonenv import register_task
from reasonenv.envs.chain import chain
from reasonenv.verify.grade import verify_math

def verify(text, problem):
    return {}[problem.id] if any(split in problem.id for split in SPLITS) else verify_math(text, problem)

def raising(split='train'):
    size = 16 if split == 'train' else None
    task = chain(split=split, operands=2, operators='+', size=size)
    return replace(task, name='Raising', verify=verify)

register_task('Raising', raising)
"""


def raising(tmp_path: Path, prior: Path, *splits: str) -> tuple[str, Path]:
    """The command that trains on a task whose verifier raises on the problems of some splits, and its folder."""
    (tmp_path / "raising.py").write_text(RAISING.replace("SPLITS", repr(splits)))
    out = tmp_path / "run"
    env = f"{tmp_path}/raising.py:reasonenv/Raising-Response-v0"
    keys = SMALL.replace("operands=2 operators=+ size=16 max_tokens=16", "max_tokens=64")  # no response is cut
    return f"train grpo {env} {keys} --policy {prior} --iterations 2 --out {out} --json", out


@pytest.mark.usefixtures("own_registry")
def test_a_verifier_that_raises_has_not_judged(prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, out = raising(tmp_path, prior, "train")
    with pytest.warns(UserWarning, match="the verifier of Raising failed on chain/.*: KeyError: 'chain/"):
        assert main(command.split()) == 2
    complaint = capsys.readouterr().err
    assert "% of the verdicts failed (limit 5%); the verifier of Raising failed on chain/" in complaint
    last = rows(out)[-1]
    assert (last["iteration"], last["updates"]) == (1, 0)
    assert last["verifier_errors"] > 0.05


@pytest.mark.usefixtures("own_registry")
def test_where_no_answer_could_be_judged_there_is_no_accuracy(
    prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, out = raising(tmp_path, prior, "train", "test")
    with pytest.warns(UserWarning, match="the verifier of Raising failed"):
        assert main(command.split()) == 2
    assert "none of 2 answers could be judged, so there is no accuracy" in capsys.readouterr().err
    stored = read_samples(out / "evaluations" / "000000.parquet")
    assert {sample.reason for sample in stored} == {Reason.ERROR}


AGENT = """
import torch
from reasonenv.agents.grpo import GRPO

class Agent(GRPO):
    def advantage(self, batch):
        BODY
"""


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("raise SystemExit(0)", "SystemExit: 0, raised by your code in"),
        (
            "return torch.zeros(3)",
            "the advantage of Agent has shape [3]; it must be [B, T] = [4, ",
        ),
    ],
)
def test_an_agent_that_fails_stops_a_run_with_the_cause(
    body: str, cause: str, prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "failing.py").write_text(AGENT.replace("BODY", body))
    command = f"train {tmp_path}/failing.py:Agent {ENV} {SMALL} --policy {prior} --iterations 8 --out {tmp_path}/run"
    assert main([*command.split(), "--json"]) == 2
    complaint = capsys.readouterr().err
    assert cause in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "cause"),
    [("return 1 / 0", "ZeroDivisionError: division by zero"), ("raise SystemExit(0)", "SystemExit: 0")],
)
def test_a_reward_that_raises_stops_a_run_with_the_cause(
    body: str, cause: str, prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text(f"def broken(problem, before, after):\n    {body}\n")
    command = f"train grpo {ENV} {SMALL} --policy {prior} --iterations 2 --out {tmp_path}/run --json"
    assert main([*command.split(), f"reward={tmp_path}/broken.py:broken"]) == 2
    complaint = capsys.readouterr().err
    assert "reward 'broken' failed on chain/" in complaint
    assert cause in complaint
    assert complaint.count("\n") == 1
