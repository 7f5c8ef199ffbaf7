"""`reasonenv bench`: suites of agents x environments x seeds."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from reasonenv.commands import report
from reasonenv.errors import UserError

HELP = "Run a suite of agents x environments x seeds, or report on one."
EXAMPLE = "reasonenv bench run quickstart --out runs/quickstart"
RESUMES = True


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="run|report")
    sub = actions.add_parser("run", epilog=f"example: {EXAMPLE}", help="run what is missing, then report")
    sub.add_argument("suite", metavar="SUITE", help="a name from `reasonenv list suites`, or a TOML file")
    sub.add_argument("--out", type=Path, default=None, help="folder of the suite (default runs/SUITE)")
    sub.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cells at a time (default: cores)")
    sub.set_defaults(action=_run)
    example = "example: reasonenv bench report runs/quickstart"
    sub = actions.add_parser("report", epilog=example, help="rebuild the report")
    report.arguments(sub)
    sub.set_defaults(action=report.run)


def run(arguments: argparse.Namespace) -> None:
    arguments.action(arguments)


def _run(arguments: argparse.Namespace) -> None:
    from reasonenv.evaluate.report import console_table
    from reasonenv.evaluate.suite import read_suite, run_suite, suite_path

    if arguments.jobs < 1:
        raise UserError(f"--jobs is {arguments.jobs}; it must be at least 1")
    suite = read_suite(suite_path(arguments.suite))
    out = arguments.out or Path("runs") / suite.name
    report = run_suite(suite, out, jobs=arguments.jobs, command=f"reasonenv bench run {arguments.suite}")
    print(f"{console_table(out)}\nreport: {report}")
