"""The settings that `--help` prints are those that a command takes, as they are printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reasonenv import catalog
from reasonenv.catalog import find_agent
from reasonenv.cli import main
from reasonenv.errors import UserError
from reasonenv.experiment.config import (
    SPELLED,
    DoctorConfig,
    EvalConfig,
    PolicyConfig,
    RunConfig,
    describe,
    describe_eval,
    describe_run,
    environment_settings,
)
from reasonenv.mdp.config import EnvConfig
from reasonenv.mdp.make import make_mdp
from reasonenv.settings import settings_of

CHAIN = "reasonenv/Chain-Response-v0"


def printed(command: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Every KEY and its default as `--help` shows them."""
    assert main([*command.split(), "--help"]) == 0
    keys: dict[str, str] = {}
    for section in capsys.readouterr().out.split("as KEY=VALUE or --key VALUE:\n")[1:]:
        for line in section.partition("\n\n")[0].splitlines():
            key, default, *_ = line.split()
            assert key not in keys
            keys[key] = default
    return keys


@pytest.mark.parametrize("agent", list(catalog.AGENTS))
def test_every_key_of_every_agent_is_taken_as_printed(agent: str, capsys: pytest.CaptureFixture[str]) -> None:
    keys = printed(f"train {agent} {CHAIN}", capsys)
    config, settings = find_agent(agent).Config, settings_of(RunConfig).keys() - SPELLED
    assert {*settings, *settings_of(config), *settings_of(EnvConfig)} <= set(keys)
    run = describe_run(agent, CHAIN, keys)
    assert config(**run.agent_keys) == config()
    assert run == RunConfig(agent=agent, env=CHAIN, agent_keys=run.agent_keys, env_keys=run.env_keys)


@pytest.mark.parametrize(("command", "kind"), [("eval", EvalConfig), ("doctor", DoctorConfig)])
def test_eval_and_doctor_take_their_keys_as_printed(
    command: str, kind: type[PolicyConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    keys = printed(f"{command} tiny {CHAIN}", capsys)
    assert settings_of(PolicyConfig).keys() - {"policy", "env", "env_keys"} <= keys.keys()
    described: Any = describe(kind, "tiny", CHAIN, keys)  # type: ignore[type-var]
    assert described == kind(env=CHAIN, env_keys=described.env_keys)  # type: ignore[call-arg]


TASKS = ["Chain", "Countdown", "Code", "GSM8K", "GSMSymbolic", "MATH", "SVAMP", "RG-leg_counting", "RG-chain_sum"]


@pytest.mark.parametrize("task", TASKS)
def test_every_key_of_a_task_is_taken_as_printed(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    if task not in catalog.TASKS:
        pytest.skip("reasoning-gym is optional")
    keys = printed(f"train grpo reasonenv/{task}-Response-v0", capsys)
    defaults: dict[str, Any] = {key: known.default for key, known in environment_settings(task).items()}
    taken = describe_run("grpo", f"reasonenv/{task}-Response-v0", keys).env_keys
    assert taken == {key: defaults[key] for key in taken}
    assert set(taken) == set(defaults) - {"split"}
    if task in ("Chain", "Countdown", "Code"):
        assert make_mdp(task, **taken).max_tokens == make_mdp(task).max_tokens


@pytest.mark.parametrize("setting", ["replies=retry:2", "max_tokens=none", "max_tokens=300", "prompt=few_shot"])
def test_check_takes_the_settings_of_the_environment(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "Chain", setting, "size=20", "--sample", "4"]) == 0
    assert capsys.readouterr().out.endswith("every check holds\n")


SPELLINGS = (
    "lr=3e-4 seed=4 eval_problems=2 iterations=0 env.seed=3",
    "--lr 3e-4 --seed 4 --eval-problems 2 --iterations 0 --env.seed 3",
    "--lr=3e-4 --seed=4 --eval_problems=2 --iterations=0 --env.seed=3",
)


@pytest.mark.parametrize("before", [True, False])
def test_a_setting_may_be_written_as_an_option_and_stand_anywhere(before: bool, tmp_path: Path) -> None:
    records = []
    for number, spelling in enumerate(SPELLINGS):
        out = tmp_path / str(number)
        words = [*spelling.split(), "--out", str(out), "operands=2", "max_tokens=4"]
        line = [*words, "sft", CHAIN] if before else ["sft", CHAIN, *words]
        assert main(["train", *line, "--json"]) == 0
        records.append(json.loads((out / "run.json").read_text()))
    assert records[0] == records[1] == records[2]
    assert (records[0]["seed"], records[0]["agent_keys"]["lr"], records[0]["env_keys"]["seed"]) == (4, 3e-4, 3)


def test_what_two_sections_have_means_the_first_and_env_names_the_other() -> None:
    run = describe_run("grpo", CHAIN, {"seed": "1", "env.seed": "2", "agent.lr": "3"})
    assert (run.seed, run.env_keys, run.agent_keys) == (1, {"seed": 2}, {"lr": 3.0})
    # what a suite says of every cell is no key
    assert describe_run("grpo", CHAIN, {"seed": "1"}, seed=5).env_keys == {"seed": 1}
    with pytest.raises(UserError, match=r"unknown key 'run\.lr'"):
        describe_run("grpo", CHAIN, {"run.lr": "3"})


def test_a_run_is_measured_where_it_was_trained(prior: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        [str(prior), "problems=8"],
        [str(prior), CHAIN, "operands=2", "operators=+", "size=16", "max_tokens=16", "--problems", "8"],
    ]
    figures = []
    for line in lines:
        assert main(["eval", *line, "--samples=2", "sampler=hf", "--json"]) == 0
        figures.append(json.loads(capsys.readouterr().out))
    assert figures[0] == figures[1]
    assert describe_eval(str(prior), None, {"operands": "4"}).env_keys["operands"] == 4


REPLAY = """
from reasonenv.agents.best_of_n import BestOfN

class Replay(BestOfN):
    first = ()

    def learn(self, groups, budget, *others):
        self.first = self.first or tuple(groups[:1])
        return super().learn([*self.first, *groups], budget, *others)
""".lstrip()


def test_check_takes_an_agent_and_a_law_that_is_none_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(REPLAY)
    name = f"{tmp_path / 'mine.py'}:Replay"
    assert main(["check", name]) == 1
    assert "BROKEN   order" in capsys.readouterr().out
    # nor is its first group in its state
    assert main(["check", name, "--except-law", "order", "--except-law", "resume", "--json"]) == 0
    findings = {finding["law"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert findings["order"]["note"] == "excepted"
    assert main(["check", "rloo", "samples_per_problem=4", "--invariant", "shift"]) == 0
    assert "RLOO obeys its laws" in capsys.readouterr().out
