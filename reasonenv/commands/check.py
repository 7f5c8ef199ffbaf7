"""`reasonenv check`: whether a task, or an agent, keeps what every one must keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from reasonenv import catalog
from reasonenv.commands.command import AsJson, SettingsCommand, application, settings
from reasonenv.errors import UserError
from reasonenv.terminal import show, show_json

app = application()


@app.command("check", cls=SettingsCommand, epilog="example: reasonenv check my_task.py:factory size=100")
def check(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="TASK_OR_AGENT",
            help="an id or name from `reasonenv list`, module:factory or file.py:factory, file.py:Class of an agent",
        ),
    ],
    sample: Annotated[int, typer.Option(help="problems of a split of a task to look at")] = 200,
    invariant: Annotated[
        list[str] | None, typer.Option(help="what an agent claims not to notice of its rewards: shift, scale")
    ] = None,
    except_law: Annotated[list[str] | None, typer.Option(help="a law that is none of the agent")] = None,
    as_json: AsJson = False,
) -> int:
    """Check a task (golds, splits, seeds, prompts, Gymnasium's checker, replay) or the laws of an agent.

    Exits with 0 if every claim holds, and with 1 if one does not.
    """
    keys = settings(context)
    if catalog.names_agent(name):
        return _check_agent(name, keys, invariant or (), except_law or (), as_json=as_json)
    return _check_task(name, keys, sample, as_json=as_json)


def _check_task(env: str, keys: Mapping[str, str], sample: int, *, as_json: bool) -> int:
    from reasonenv.checks import check_task, table
    from reasonenv.experiment.config import environment_keys

    name = catalog.task_name(env)
    checks = check_task(name, sample=sample, **environment_keys(name, keys))
    failed = sum(not claim.holds for claim in checks)
    if as_json:
        show_json([asdict(claim) for claim in checks], indent=1)
    else:
        outcome = f"{failed} of {len(checks)} checks failed" if failed else "every check holds"
        show(*table(checks).split("\n"), "", f"{name}: {outcome}")
    return int(failed > 0)


def _check_agent(
    name: str, keys: Mapping[str, str], invariant: Sequence[str], excepted: Sequence[str], *, as_json: bool
) -> int:
    from reasonenv.experiment.config import agent_config
    from reasonenv.learn.agent import Agent
    from reasonenv.testing import LawBroken, check_agent

    agent = catalog.find_agent(name)
    if not issubclass(agent, Agent) or not agent.trains_policy:
        raise UserError(f"{name} trains no policy, so the laws of agents say nothing of it")
    try:
        report = check_agent(agent, agent_config(name, keys), invariant=invariant, except_laws=excepted)
    except LawBroken as broken:
        report = broken.report
    if as_json:
        show_json([asdict(finding) for finding in report.findings], indent=1)
    else:
        show(*str(report).split("\n"))
    return int(bool(report.broken))
