"""`reasonenv report`: the page of suites and runs, from what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reasonenv.commands.command import application
from reasonenv.registry import admit, import_named
from reasonenv.terminal import show

app = application()


@app.command("report", epilog="example: reasonenv report runs/quickstart")
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="of `bench run` or of `train`")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="where the report goes (default: the first folder)")
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="draw the charts into charts/ too (needs matplotlib)")] = False,
    plugins: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="FILE", help="a file, or a module, that registers metrics or sections of yours"),
    ] = None,
) -> None:
    """Build the report of suites and runs from their stored samples."""
    for name in plugins or ():
        admit(name)
        import_named(name, name)
    from reasonenv.report import console_text, write_report

    show(*console_text(write_report(*folders, out=out, png=png)).split("\n"))
