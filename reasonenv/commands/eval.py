"""`reasonenv eval`: figures of one policy on held-out problems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reasonenv.commands.command import ENV_ID, AsJson, SettingsCommand, TrustCode, application, reading, settings
from reasonenv.terminal import show, show_json

app = application()


@app.command(
    "eval",
    cls=SettingsCommand,
    epilog="example: reasonenv eval smollm2-135m reasonenv/GSM8K-Response-v0 --samples 8 --problems 100",
)
def evaluate(
    context: typer.Context,
    policy: Annotated[
        str, typer.Argument(metavar="RUN_OR_POLICY", help="a run's folder, a policy's name, a path or a hub id")
    ],
    env: Annotated[
        str | None, typer.Argument(metavar="ENV_ID", help=f"{ENV_ID} (left out: that of the run, with its settings)")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file for every answer")] = None,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> None:
    """Measure greedy accuracy, maj@k and pass@k of a run or a policy on held-out problems."""
    from reasonenv.experiment.assess import assess
    from reasonenv.experiment.config import describe_eval

    keys = settings(context)
    with reading(policy, (env or "", *keys.values()), trust_code=trust_code):
        summary = assess(describe_eval(policy, env, keys), out=out, quiet=as_json)
    if as_json:
        show_json({name: vars(estimate) for name, estimate in summary.items()})
        return
    for name, e in summary.items():
        show(f"{name:<16} {e.value:.3f}  [{e.low:.3f}, {e.high:.3f}]  n = {e.n}")
