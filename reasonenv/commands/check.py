"""`reasonenv check`: whether a task keeps what every task must keep."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from reasonenv import catalog
from reasonenv.commands.command import AsJson, SettingsCommand, application, settings
from reasonenv.terminal import show, show_json

app = application()


@app.command("check", cls=SettingsCommand, epilog="example: reasonenv check my_task.py:factory size=100")
def check(
    context: typer.Context,
    env: Annotated[
        str,
        typer.Argument(
            metavar="TASK", help="an id or name from `reasonenv list envs`, module:factory or file.py:factory"
        ),
    ],
    sample: Annotated[int, typer.Option(help="problems of a split to look at")] = 200,
    as_json: AsJson = False,
) -> int:
    """Check a task: golds, splits, seeds, prompts, Gymnasium's checker, granularity and replay.

    Exits with 0 if every claim holds, and with 1 if one does not.
    """
    from reasonenv.checks import check_task, table
    from reasonenv.experiment.config import environment_keys

    name = catalog.task_name(env)
    checks = check_task(name, sample=sample, **environment_keys(name, settings(context)))
    failed = sum(not claim.holds for claim in checks)
    if as_json:
        show_json([asdict(claim) for claim in checks], indent=1)
    else:
        outcome = f"{failed} of {len(checks)} checks failed" if failed else "every check holds"
        show(*table(checks).split("\n"), "", f"{name}: {outcome}")
    return int(failed > 0)
