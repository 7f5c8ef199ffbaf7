"""`reasonenv report`: the page of a suite, from what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reasonenv.commands.command import application
from reasonenv.errors import UserError

app = application()


@app.command("report", epilog="example: reasonenv report runs/quickstart")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder of a suite")],
    png: Annotated[bool, typer.Option("--png", help="draw the charts into DIR/charts too (needs matplotlib)")] = False,
) -> None:
    """Rebuild the report of a suite from its stored samples."""
    from reasonenv.report import told, write_report

    if not (folder / "suite.json").is_file():
        raise UserError(f"{folder} is not the folder of a suite: it has no suite.json")
    print(told(write_report(folder, png=png)))
