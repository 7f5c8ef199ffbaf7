"""`reasonenv report`: the page of suites and runs, from what is stored."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Build the report of suites and runs from their stored samples."
EXAMPLE = "reasonenv report runs/quickstart"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", metavar="DIR", type=Path, nargs="+", help="of `bench run` or of `train`")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where the report goes (default: the first folder)")
    parser.add_argument("--png", action="store_true", help="draw the charts into charts/ too (needs matplotlib)")


def run(arguments: argparse.Namespace) -> None:
    from reasonenv.report import console_text, write_report

    print(console_text(write_report(*arguments.folders, out=arguments.out, png=arguments.png)))
