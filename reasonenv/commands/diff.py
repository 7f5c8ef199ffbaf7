"""`reasonenv diff`: why two runs are not the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reasonenv.commands.command import application
from reasonenv.terminal import show

app = application()


@app.command("diff", epilog="example: reasonenv diff runs/grpo runs/again")
def diff(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="folder of a run")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="another one")],
) -> None:
    """Say what differs between two runs: settings, versions, data, and where they first part."""
    from reasonenv.measures.pair import differences

    lines = list(differences(first, second))
    show(*lines or ["no difference but the time they took"])
