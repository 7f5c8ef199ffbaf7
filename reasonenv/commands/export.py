"""`reasonenv export`: a run's policy as a folder that other programs serve."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from reasonenv.commands.command import application
from reasonenv.terminal import show

app = application()


@app.command("export", epilog="example: reasonenv export runs/grpo exported/grpo")
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="folder of a finished run")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="folder to be made")],
    dtype: Annotated[
        str | None, typer.Option(help="of the weights (default: as they are loaded); float32 merges an adapter exactly")
    ] = None,
    push: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="also upload it, to a private repository of the hub")
    ] = None,
) -> None:
    """Write what a run has trained as whole weights in Hugging Face format, with a card that has its numbers.

    An adapter is merged into its model.
    """
    from reasonenv.experiment.export import export as export_run

    export_run(run, out, dtype=dtype, push=push)
    show(f"exported: {out}", f"serve it: vllm serve {shlex.quote(str(out))}")
    if push is not None:
        show(f"pushed: {push}, private")
