"""`reasonenv doctor`: whether a policy can be trained on an environment here."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from reasonenv.commands.command import AsJson, Environment, SettingsCommand, application, settings
from reasonenv.terminal import show, show_json

app = application()


@app.command(
    "doctor",
    cls=SettingsCommand,
    epilog="example: reasonenv doctor smollm2-135m reasonenv/SVAMP-Response-v0 prompt=few_shot max_tokens=28",
)
def doctor(
    context: typer.Context,
    policy: Annotated[
        str, typer.Argument(metavar="POLICY", help="a policy's name, a run's folder, a path or a hub id")
    ],
    env: Environment,
    as_json: AsJson = False,
) -> int:
    """Look at a policy on an environment before training: tokens, verifier, signal, log-probs, memory.

    Exits with 0 if nothing is wrong, and with 1 if something is.
    """
    from reasonenv.experiment.config import DoctorConfig, describe
    from reasonenv.experiment.doctor import examine

    findings = examine(describe(DoctorConfig, policy, env, settings(context)))
    wrong = sum(finding.state == "wrong" for finding in findings)
    if as_json:
        show_json([asdict(finding) for finding in findings], indent=1)
        return int(wrong > 0)
    for finding in findings:
        show(f"{finding.state:<6} {finding.name:<10} {finding.seen}")
        if finding.change:
            show(f"{'':<18}-> {finding.change}")
    show("", f"{wrong} of {len(findings)} things are wrong" if wrong else "nothing is wrong")
    return int(wrong > 0)
