"""`reasonenv train`: one agent on one environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from reasonenv.commands.command import AsJson, Environment, Quiet, SettingsCommand, application, settings
from reasonenv.errors import listed
from reasonenv.terminal import show, show_json

EXAMPLE = "reasonenv train grpo reasonenv/Chain-Response-v0 --policy runs/prior --out runs/grpo lr=1e-4"

app = application()


@app.command("train", cls=SettingsCommand, epilog=f"example: {EXAMPLE}")
def train(
    context: typer.Context,
    agent: Annotated[
        str, typer.Argument(metavar="AGENT", help="a name from `reasonenv list agents`, module:Class or file.py:Class")
    ],
    env: Environment,
    out: Annotated[Path, typer.Option(help="folder of the run")],
    changed_data: Annotated[
        bool,
        typer.Option("--changed-data", help="go on although the task's problems have changed since the run began"),
    ] = False,
    changed_code: Annotated[
        bool,
        typer.Option(
            "--changed-code",
            help="go on although the code of agent or task has changed since the run began; run.json says so",
        ),
    ] = False,
    fresh_optimizer: Annotated[
        bool,
        typer.Option(
            "--fresh-optimizer",
            help="go on to more iterations without the optimiser's state; run.json says so",
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train an agent. The same command again goes on where it stopped."""
    from reasonenv.experiment.config import describe_run
    from reasonenv.experiment.train import train as train_run

    run = describe_run(agent, env, settings(context))
    summary = train_run(
        run,
        out,
        changed_data=changed_data,
        changed_code=changed_code,
        fresh_optimizer=fresh_optimizer,
        quiet=quiet or as_json,
    )
    if as_json:
        show_json(summary)
        return
    _print_summary(summary)
    saved = [f"{name}: {out / name}" for name in ("policy", "scorer") if (out / name).is_dir()]
    if summary.get("skipped"):
        show(f"{summary['skipped']} optimiser steps were not taken: their loss or gradient was not finite")
    if saved and run.iterations and not summary["updates"]:
        show(f"nothing was trained: no optimiser step was taken, and {out} holds what it started from")
    elif saved:
        show("   ".join([*saved, f"curves: tensorboard --logdir {out}"]))
    else:
        show("nothing was trained")


def _print_summary(summary: Mapping[str, Any]) -> None:
    from reasonenv.report.single import gain_text

    show(gain_text(summary))
    if summary.get("auc") is not None:
        show(f"a right answer is scored above a wrong one with chance {summary['auc']:.3f} (AUC)")
    if "negated_goal" in summary:
        show(f"behind the negated goal: {summary['negated_goal']:.3f}")
    for part, problems in summary.get("hard_to_verify", {}).items():
        if problems:
            show(f"{len(problems)} problems ({part}) are hard to verify: {listed(problems, 10)}")
    if summary.get("signal"):
        show(summary["signal"])
