"""The settings that `--help` prints are those that a command takes, as they are printed."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from reasonenv import catalog
from reasonenv.catalog import find_agent
from reasonenv.cli import main
from reasonenv.experiment.config import RunConfig, describe_run, environment_settings
from reasonenv.mdp.config import EnvConfig
from reasonenv.mdp.make import make_mdp

CHAIN = "reasonenv/Chain-Response-v0"


def printed(agent: str, env: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Every KEY and its default as `train AGENT ENV --help` shows them."""
    with pytest.raises(SystemExit):
        main(["train", agent, env, "--help"])
    _, *sections = capsys.readouterr().out.split("as KEY=VALUE:\n")
    lines = [line for section in sections for line in section.splitlines() if line.startswith("  ")]
    return {line.split()[0]: line.split()[1] for line in lines}


@pytest.mark.parametrize("agent", catalog.AGENTS)
def test_every_key_of_every_agent_is_taken_as_printed(agent: str, capsys: pytest.CaptureFixture[str]) -> None:
    keys = printed(agent, CHAIN, capsys)
    config = find_agent(agent).Config
    settings = {f.name for f in fields(RunConfig)} - {"agent", "env", "agent_keys", "env_keys"}
    assert {*settings, *(f.name for f in fields(config)), *(f.name for f in fields(EnvConfig))} <= set(keys)
    run = describe_run(agent, CHAIN, keys)
    assert config(**run.agent_keys) == config()
    assert all(getattr(run, f.name) == f.default for f in fields(RunConfig) if f.name in settings)


TASKS = ["Chain", "Countdown", "Code", "GSM8K", "GSMSymbolic", "MATH", "SVAMP", "RG-leg_counting", "RG-chain_sum"]


@pytest.mark.parametrize("task", TASKS)
def test_every_key_of_a_task_is_taken_as_printed(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    if task not in catalog.TASKS:
        pytest.skip("reasoning-gym is optional")
    keys = printed("grpo", f"reasonenv/{task}-Response-v0", capsys)
    defaults: dict[str, Any] = {key: known.default for key, known in environment_settings(task).items()}
    taken = describe_run("grpo", f"reasonenv/{task}-Response-v0", keys).env_keys
    assert taken == {key: defaults[key] for key in taken}
    assert set(taken) == set(defaults) - {"split"}
    if task in ("Chain", "Countdown", "Code"):
        assert make_mdp(task, **taken).max_tokens == make_mdp(task).max_tokens


@pytest.mark.parametrize("setting", ["stochastic=retry:2", "max_tokens=none", "max_tokens=300", "prompt=few_shot"])
def test_check_takes_the_settings_of_the_environment(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "Chain", setting, "size=20", "--sample", "4"]) == 0
    assert capsys.readouterr().out.endswith("every check holds\n")
