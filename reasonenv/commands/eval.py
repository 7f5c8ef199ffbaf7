"""`reasonenv eval`: figures of one policy on held-out problems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reasonenv.commands.command import (
    ENV_ID,
    AsJson,
    Quiet,
    SettingsCommand,
    TrustCode,
    application,
    reading,
    settings,
)
from reasonenv.terminal import complain, show, show_json

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
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Measure greedy accuracy, maj@k and pass@k of a run or a policy on held-out problems."""
    from reasonenv.experiment.assess import assess
    from reasonenv.experiment.config import describe_eval, differences_from_training
    from reasonenv.report.single import Estimates

    keys = settings(context)
    with reading(policy, (env or "", *keys.values()), trust_code=trust_code):
        config = describe_eval(policy, env, keys)
        if not (quiet or as_json):
            for difference in differences_from_training(config):
                complain(difference)
        summary = assess(config, out=out, quiet=quiet or as_json)
    if as_json:
        show_json({name: vars(estimate) for name, estimate in summary.items()})
        return
    show(*str(Estimates(summary)).split("\n"))
