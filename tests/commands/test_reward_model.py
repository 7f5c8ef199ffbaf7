"""The commands around a reward model and around goals: train one, rank by it, be rewarded by it, label by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reasonenv.cli import main
from reasonenv.measures.samples import read_samples

ENV = "reasonenv/Chain-Response-v0"
TASK = ("operands=2", "operators=+", "size=16", "max_tokens=16")
FEW = ("eval_problems=4", "problems_per_iteration=4", "samples_per_problem=2", "--iterations", "1", "--json")


@pytest.fixture(scope="module")
def orm(prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("orm") / "run"
    assert main(["train", "orm", ENV, *TASK, *FEW, "--policy", str(prior), "--out", str(out)]) == 0
    return out


def read(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return dict(json.loads(capsys.readouterr().out))


def test_a_reward_model_is_measured_by_its_scores(orm: Path) -> None:
    summary = json.loads((orm / "summary.json").read_text())
    found = read_samples(orm / "evaluation.parquet")
    assert len(found) == 16  # 4 problems, 4 samples
    assert all(s.score is not None for s in found)
    hits = [((s.score or 0) > 0.5) == s.correct for s in found]
    assert summary["after"] == pytest.approx(sum(hits) / 16)
    assert summary["auc"] is None or 0 <= summary["auc"] <= 1
    assert (orm / "scorer" / "head.safetensors").is_file()
    assert not (orm / "policy").exists()


def test_answers_are_ranked_by_it(orm: Path, prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "answers.parquet"
    command = ["eval", str(prior), ENV, *TASK, "--problems", "4", "--json"]
    assert main([*command, "--samples", "3", "--orm", str(orm), "--out", str(out)]) == 0
    assert {"maj@3", "rerank@3", "weighted@3", "pass@3"} <= read(capsys).keys()
    assert {s.score is None for s in read_samples(out) if not s.greedy} == {False}
    assert main([*command, "--orm", str(orm)]) == 2
    assert "orm ranks sampled answers, give at least 2" in capsys.readouterr().err


def test_it_rewards_in_place_of_the_verdict(
    orm: Path, prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "reinforce", ENV, *TASK, *FEW, f"orm={orm}", "--policy", str(prior)]
    assert main([*command, "reward=dense", "--out", str(tmp_path / "run")]) == 0
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert 0 < row["reward"] < 1
    assert row["reward"] != row["accuracy"]
    for extra, message in (
        (("reward=potential",), "with orm= it must be one of sparse, dense"),
        (("orm=nowhere",), "'nowhere' holds no reward model"),
    ):
        capsys.readouterr()
        assert main([*command, *extra, "--out", str(tmp_path / "other")]) == 2
        assert message in capsys.readouterr().err
    assert main(["train", "ei", ENV, *TASK, *FEW, f"orm={orm}", "--out", str(tmp_path / "other")]) == 2
    assert "ei does not learn from rewards" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_conditioned_policy_is_asked_for_the_good_goal_everywhere(
    orm: Path, prior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    keys = (*FEW, "eval_samples=2", "epochs=1", "problems_per_iteration=16")
    assert main(["train", "rcrl", ENV, *TASK, *keys, "--policy", str(prior), "--out", str(out)]) == 0
    summary = read(capsys)
    assert 0 <= float(str(summary["negated_goal"])) <= 1
    assert json.loads((out / "policy" / "goals.json").read_text()) == {"asked": "[GOOD]", "contrary": "[BAD]"}
    assert main(["eval", str(out), ENV, *TASK, "--problems", "4", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["greedy_accuracy"]["value"] == summary["after"]
    assert figures["greedy_accuracy [BAD]"]["value"] == summary["negated_goal"]
    labelled = ("train", "rcrl", ENV, *TASK, *keys, f"labels={orm}", "--policy", str(prior))
    assert main([*labelled, "--out", str(tmp_path / "labelled")]) == 0
    capsys.readouterr()
    assert main(["train", "grpo", ENV, *TASK, *FEW, "--policy", str(out), "--out", str(tmp_path / "grpo")]) == 2
    assert "writes behind goals; train it with rcrl" in capsys.readouterr().err
