"""`reasonenv report`: the page of a suite, from what is stored."""

from __future__ import annotations

import argparse
from pathlib import Path

from reasonenv.errors import UserError

HELP = "Rebuild the report of a suite from its stored samples."
EXAMPLE = "reasonenv report runs/quickstart"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--png", action="store_true", help="draw the charts into DIR/charts too (needs matplotlib)")


def run(arguments: argparse.Namespace) -> None:
    from reasonenv.report import told, write_report

    if not (arguments.folder / "suite.json").is_file():
        raise UserError(f"{arguments.folder} is not the folder of a suite: it has no suite.json")
    print(told(write_report(arguments.folder, png=arguments.png)))
