"""Training, measuring and looking at runs from Python: the same as the commands, and what a notebook adds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import reasonenv
from reasonenv.agents.grpo import GRPO
from reasonenv.catalog import make_task
from reasonenv.cli import main
from reasonenv.measures.samples import read_samples
from reasonenv.storage import read_rows

ENV = "reasonenv/Chain-Response-v0"
EASY: dict[str, Any] = {"operands": 2, "operators": "+", "size": 16, "max_tokens": 16, "eval_problems": 8}
GRPO_KEYS: dict[str, Any] = {"problems_per_iteration": 4, "samples_per_problem": 4, "minibatches": 2, "lr": 3e-4}
GRPO_KEYS |= {**EASY, "eval_samples": 2, "eval_every": 2, "quiet": True}


def test_a_call_leaves_the_folder_of_the_command_byte_for_byte(
    prior: Path, whole: Callable[[str], Path], result: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    run = reasonenv.train("grpo", ENV, policy=prior, iterations=8, out=tmp_path / "run", **GRPO_KEYS)
    by_command = whole("grpo")
    assert result(run.folder) == result(by_command)
    for name in ("run.json", "environment.json", "problems.jsonl", "winning.jsonl"):
        assert (run.folder / name).read_bytes() == (by_command / name).read_bytes(), name
    # a class is what its name means
    other = reasonenv.train(GRPO, ENV, policy=prior, iterations=8, out=run.folder, **GRPO_KEYS)
    assert other.config == run.config


def test_a_run_tells_what_its_folder_holds(whole: Callable[[str], Path]) -> None:
    run = reasonenv.load_run(whole("grpo"))
    assert run.finished
    assert (run.config["agent"], run.config["agent_keys"]["lr"]) == ("grpo", 3e-4)
    assert run.summary["iteration"] == 8
    rows = read_rows(run.folder / "metrics.jsonl")
    metrics = run.metrics()
    assert metrics["iteration"].tolist() == list(range(9))
    assert metrics["reward"].tolist()[1:] == [row["reward"] for row in rows[1:]]
    samples = read_samples(run.folder / "evaluation.parquet")
    frame = run.samples()
    assert frame["text"].tolist() == [sample.text for sample in samples]
    chain = make_task("Chain", split="test", operands=2, operators="+", size=8)
    golds = {problem.id: (problem.question, problem.answer) for problem in chain.problems}
    for problem_id, question, gold in zip(frame["problem_id"], frame["question"], frame["gold"], strict=True):
        assert golds[problem_id] == (question, gold)
    assert set(run.rollouts()["source"]) == {"greedy", "sampled", "training"}
    policy = run.policy()
    assert policy.name == str(run.folder)
    assert "grpo on reasonenv/Chain-Response-v0" in str(run)


def test_evaluate_says_what_the_command_says(whole: Callable[[str], Path], tmp_path: Path) -> None:
    run, answers = reasonenv.load_run(whole("grpo")), tmp_path / "answers.parquet"
    estimates = run.evaluate(samples=2, problems=4, out=answers, quiet=True)
    assert len(read_samples(answers)) == 4 * 3
    keys = {key: value for key, value in EASY.items() if key != "eval_problems"}
    again = reasonenv.evaluate(run.folder, ENV, samples=2, problems=4, quiet=True, **keys)
    assert estimates == again
    assert "greedy_accuracy" in str(estimates)
    assert "<td>greedy_accuracy</td>" in estimates._repr_html_()


def test_a_run_without_a_folder_gets_a_new_one(
    prior: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        run = reasonenv.train("grpo", ENV, policy=prior, iterations=0, **{**GRPO_KEYS, "quiet": False})
        assert run.folder == Path("runs", f"grpo-Chain-{number}")
        assert f"out: {run.folder}" in capsys.readouterr().out
    with pytest.raises(reasonenv.UserError, match="unknown key 'lrr'; did you mean lr"):
        reasonenv.train("grpo", ENV, lrr=1)
    assert [path.name for path in Path("runs").iterdir()] != []
    assert not Path("runs", "grpo-Chain-3").exists()


def test_a_callback_sees_every_iteration_and_may_stop_the_run_which_goes_on_to_the_same_end(
    prior: Path, whole: Callable[[str], Path], result: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    seen: list[int] = []

    def early(metrics: Mapping[str, Any]) -> bool:
        seen.append(metrics["iteration"])
        return metrics["iteration"] < 3

    run = reasonenv.train("grpo", ENV, policy=prior, iterations=8, out=tmp_path, callbacks=[early], **GRPO_KEYS)
    assert seen == [1, 2, 3]
    assert not run.finished
    assert "unfinished, 3 of 8 iterations" in str(run)
    with pytest.raises(reasonenv.UserError, match="not finished"):
        _ = run.summary
    assert run.resume(quiet=True).finished
    assert result(run.folder) == result(whole("grpo"))


def test_a_stopped_run_can_end_where_it_is_as_if_it_had_been_that_long(prior: Path, tmp_path: Path) -> None:
    short, run = (tmp_path / name for name in ("short", "run"))
    reasonenv.train("grpo", ENV, policy=prior, iterations=3, out=short, **GRPO_KEYS)
    stopped = reasonenv.train(
        "grpo", ENV, policy=prior, iterations=8, out=run, callbacks=[lambda m: m["iteration"] < 3], **GRPO_KEYS
    )
    with pytest.raises(reasonenv.UserError, match="iterations is 8 there, 2 here"):
        stopped.resume(iterations=2)
    assert stopped.resume(iterations=3, quiet=True).finished
    for name in ("policy/model.safetensors", "evaluation.parquet", "run.json"):
        assert (run / name).read_bytes() == (short / name).read_bytes(), name
    assert stopped.resume(iterations=4, quiet=True).summary["iteration"] == 4


class Broken(reasonenv.Observer):
    """Fails in its second iteration."""

    def iteration(self, metrics: Mapping[str, Any]) -> None:
        if metrics["iteration"] == 2:
            raise RuntimeError("no more")


def test_a_callback_that_raises_is_named_and_loses_nothing(
    prior: Path, whole: Callable[[str], Path], result: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    settings = {"policy": prior, "iterations": 8, "out": tmp_path, **GRPO_KEYS}
    with pytest.raises(reasonenv.UserError, match="callback Broken failed in iteration: RuntimeError: no more; mend"):
        reasonenv.train("grpo", ENV, callbacks=[Broken()], **settings)
    assert "2 of 8 iterations" in str(reasonenv.load_run(tmp_path))
    assert reasonenv.train("grpo", ENV, **settings).finished
    assert result(tmp_path) == result(whole("grpo"))
    with pytest.raises(reasonenv.UserError, match=r"^callbacks is 3; it must be a list of them"):
        reasonenv.train("grpo", ENV, callbacks=3, **settings)  # type: ignore[arg-type]
    with pytest.raises(reasonenv.UserError, match=r"^env is 5; it must be an id"):
        reasonenv.train("grpo", 5)  # type: ignore[arg-type]
    with pytest.raises(reasonenv.UserError, match=r"callback 3 is no reasonenv.Observer, nor a function"):
        reasonenv.train("grpo", ENV, callbacks=[3], **settings)  # type: ignore[list-item]


def test_an_interrupt_leaves_a_run_that_goes_on_and_ends_a_script_but_not_a_notebook(
    prior: Path,
    whole: Callable[[str], Path],
    result: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupting(last: int) -> Callable[[Mapping[str, Any]], None]:
        return lambda metrics: os.kill(os.getpid(), signal.SIGINT) if metrics["iteration"] == last else None

    settings = {"policy": prior, "iterations": 8, "out": tmp_path, **GRPO_KEYS}
    with pytest.raises(KeyboardInterrupt, match="2 of 8 iterations are saved"):
        reasonenv.train("grpo", ENV, callbacks=[interrupting(2)], **settings)
    monkeypatch.setattr("builtins.get_ipython", object, raising=False)  # by which a kernel is known
    capsys.readouterr()
    run = reasonenv.train("grpo", ENV, callbacks=[interrupting(5)], **settings)
    assert not run.finished
    assert "interrupted; 5 of 8 iterations are saved; resume() goes on" in capsys.readouterr().err
    assert run.resume(quiet=True).finished
    assert result(tmp_path) == result(whole("grpo"))


def test_a_run_grows_as_if_it_had_been_longer(prior: Path, whole: Callable[[str], Path], tmp_path: Path) -> None:
    run = reasonenv.train("grpo", ENV, policy=prior, iterations=3, out=tmp_path, **GRPO_KEYS).resume(
        iterations=8, quiet=True
    )
    assert (run.folder / "policy" / "model.safetensors").read_bytes() == (
        whole("grpo") / "policy" / "model.safetensors"
    ).read_bytes()


def test_several_runs_stand_on_one_page(prior: Path, whole: Callable[[str], Path], tmp_path: Path) -> None:
    import reasonenv.report.runs  # sets the name `reasonenv.report`

    page = reasonenv.report([reasonenv.load_run(whole("grpo")), whole("ei")], out=tmp_path)
    assert page == tmp_path / "report.html"
    assert {"grpo", "ei"} <= set((tmp_path / "table.txt").read_text().split())
    with pytest.raises(reasonenv.UserError, match="nothing to report on"):
        reasonenv.report([])


def test_a_folder_of_a_stranger_shows_itself_without_running_or_obeying_anything(tmp_path: Path) -> None:
    run = tmp_path / "<script>alert(1)"
    run.mkdir()
    (run / "run.json").write_text('{"agent": "<img src=x onerror=y>", "env": "\\u001b[2J", "iterations": "<b>"}')
    (run / "metrics.jsonl").write_text('{"iteration": 1, "reward": 1e400}\n{"iteration": 2, "reward": 0.5}\n')
    html = reasonenv.load_run(run)._repr_html_()
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;b&gt;" in html
    assert "\x1b" not in html + str(reasonenv.load_run(run))
    (run / "run.json").write_text(
        '{"agent": "evil.py:Agent", "env": "reasonenv/Chain-Response-v0", "agent_keys": {}, "env_keys": {}}'
    )
    with pytest.raises(reasonenv.UserError, match=r"names code, 'evil.py:Agent', which would run with your rights"):
        reasonenv.load_run(run).resume()
    with pytest.raises(reasonenv.UserError, match="is not the folder of a run"):
        reasonenv.load_run(tmp_path)


def bonus(*_: Any) -> float:
    """Of every step."""
    return 0.25


def test_functions_and_factories_stand_where_their_names_do(prior: Path, tmp_path: Path, own_registry: None) -> None:
    questions = [(f"1+{i}=?", str(1 + i)) for i in range(20)]
    factory = reasonenv.from_problems(questions, name="Sums")
    settings = {"policy": prior, "iterations": 1, "quiet": True, "problems_per_iteration": 2, "eval_problems": 2}
    run = reasonenv.train("grpo", factory, out=tmp_path, reward=["sparse", bonus], max_tokens=8, **settings)
    assert run.config["env"] == "reasonenv/Sums-Response-v0"
    assert run.config["env_keys"]["reward"] == f"sparse+{__name__}:bonus"
    assert any(name.endswith("test_python_api.py") for name in run.config["code"]["files"])
    with pytest.raises(reasonenv.UserError, match="has no name"):
        reasonenv.train("grpo", ENV, reward=lambda *_: 1.0, **settings)


def test_make_is_gymnasiums_environment_with_its_type() -> None:
    env = reasonenv.make("Chain-Step-v0", operands=2)
    assert env.mdp.task.name == "Chain"
    assert env.spec is not None
    assert env.spec.id == "reasonenv/Chain-Step-v0"
    with pytest.raises(reasonenv.UserError, match="did you mean"):
        reasonenv.make("Chian-Step-v0")


def test_a_run_is_looked_at_without_torch(whole: Callable[[str], Path]) -> None:
    program = (
        "import sys, reasonenv; run = reasonenv.load_run(sys.argv[1]); run.metrics(); run._repr_html_(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(whole("grpo"))], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_settings_are_explained_as_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "grpo", ENV, "--help"]) == 0
    printed = capsys.readouterr().out.splitlines()
    lines = reasonenv.explain(GRPO, ENV).splitlines()
    settings = [line for line in lines if line.startswith("  ")]
    assert len(settings) > 30
    assert set(settings) <= set(printed)


def test_what_is_late_is_offered_and_absent_names_are_not() -> None:
    assert set(reasonenv.__all__) <= set(dir(reasonenv))
    assert all(hasattr(reasonenv, name) for name in reasonenv.__all__)
    assert not hasattr(reasonenv, "fit")
    assert main(["list", "agents", "--json"]) == 0
