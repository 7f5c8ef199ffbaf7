"""`reasonenv bench`: suites of agents x environments x seeds."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from reasonenv.commands import report
from reasonenv.errors import UserError
from reasonenv.storage import read_record

if TYPE_CHECKING:
    from reasonenv.experiment.cells import Cell
    from reasonenv.experiment.suite import Suite

HELP = "Run a suite of agents x environments x seeds, go on with one, or report on one."
EXAMPLE = "reasonenv bench run quickstart --out runs/quickstart"
RESUMES = True


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="run|tune|resume|report")
    sub = actions.add_parser("run", epilog=f"example: {EXAMPLE}", help="run what is missing, then report")
    sub.add_argument("suite", metavar="SUITE", help="a name from `reasonenv list suites`, or a TOML file")
    sub.add_argument("--scale", default=None, help="one of the suite's scales (default: its first)")
    sub.add_argument("--out", type=Path, default=None, help="folder of the suite (default runs/SUITE)")
    text = "say how many cells there are and what they ask for, and run nothing"
    sub.add_argument("--dry-run", action="store_true", help=text)
    _jobs(sub)
    sub.set_defaults(action=_run)
    example = "example: reasonenv bench tune quickstart --out runs/tuned"
    text = "choose settings on validation problems, as the suite's table [tune] says; leaves a suite file to run"
    sub = actions.add_parser("tune", epilog=example, help=text)
    sub.add_argument("suite", metavar="SUITE", help="a name from `reasonenv list suites`, or a TOML file")
    sub.add_argument("--scale", default=None, help="one of the suite's scales (default: its first)")
    sub.add_argument("--out", type=Path, required=True, help="folder of the trials and of suite.toml")
    _jobs(sub)
    sub.set_defaults(action=_tune)
    example = "example: reasonenv bench resume runs/quickstart"
    sub = actions.add_parser("resume", epilog=example, help="run what is missing in a suite's folder")
    sub.add_argument("folder", metavar="DIR", type=Path)
    _jobs(sub)
    sub.set_defaults(action=_resume)
    example = "example: reasonenv bench report runs/quickstart"
    sub = actions.add_parser("report", epilog=example, help="rebuild the report")
    report.arguments(sub)
    sub.set_defaults(action=report.run)


def _jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cells at a time (default: cores)")


def run(arguments: argparse.Namespace) -> None:
    arguments.action(arguments)


def _run(arguments: argparse.Namespace) -> None:
    from reasonenv.experiment.suite import read_suite, suite_path

    suite = read_suite(suite_path(arguments.suite), arguments.scale)
    if arguments.dry_run:
        print("\n".join(_plan(suite)))
        return
    scale = f" --scale {suite.scale}" if suite.scale else ""
    folder = arguments.out or Path("runs") / (f"{suite.name}-{suite.scale}" if suite.scale else suite.name)
    _finish(suite, folder, arguments.jobs, f"reasonenv bench run {arguments.suite}{scale}")


def _plan(suite: Suite) -> Iterator[str]:
    """What a suite asks for, an agent a line. It tells counts alone: what they take depends on machine and lengths."""
    agents: dict[str, list[Cell]] = {}
    for cell in suite.cells:
        agents.setdefault(cell.agent, []).append(cell)
    yield f"{'agent':<20}{'cells':>8}{'learned from':>16}{'held-out answers':>20}"
    for agent, cells in (*agents.items(), ("all", list(suite.cells))):
        learned = sum(cell.planned for cell in cells)
        measured = sum(cell.measured for cell in cells if cell.answers is None)  # others choose among stored ones
        yield f"{agent:<20}{len(cells):>8}{learned:>16,}{measured:>20,}"


def _tune(arguments: argparse.Namespace) -> None:
    from reasonenv.experiment.suite import read_suite, suite_path
    from reasonenv.experiment.tune import tune
    from reasonenv.measures.tuning_record import provenance_of_settings

    _check_jobs(arguments.jobs)
    suite = read_suite(suite_path(arguments.suite), arguments.scale)
    scale = f" --scale {suite.scale}" if suite.scale else ""
    path = tune(suite, arguments.out, jobs=arguments.jobs, command=f"reasonenv bench tune {arguments.suite}{scale}")
    tuned = read_suite(path).spec["tuned"]
    for agent, record in tuned["agents"].items():
        for trial in record["tried"]:
            values = {key: trial[key] for key in tuned["keys"]}
            told = " ".join(f"{key}={value}" for key, value in values.items())
            print(f"{agent:<16} {told:<24} {trial['accuracy']:.3f}{'  chosen' if values == record['chosen'] else ''}")
    print(provenance_of_settings({"tuned": tuned}))
    print(f"reasonenv bench run {path}")


def _resume(arguments: argparse.Namespace) -> None:
    from reasonenv.experiment.suite import read_suite

    told, file = arguments.folder / "suite.json", arguments.folder / "suite.toml"
    if not (told.is_file() and file.is_file()):
        raise UserError(f"{arguments.folder} is not the folder of a suite: it has no suite.toml and suite.json")
    record = read_record(told)
    if not {"scale", "command"} <= record.keys():
        raise UserError(f"{told} does not say scale and command; give the folder of a suite")
    _finish(read_suite(file, record["scale"]), arguments.folder, arguments.jobs, record["command"])


def _finish(suite: Suite, folder: Path, jobs: int, command: str) -> None:
    from reasonenv.experiment.scheduler import run_suite
    from reasonenv.report import console_text, write_report

    _check_jobs(jobs)
    run_suite(suite, folder, jobs=jobs, command=command)
    print(console_text(write_report(folder)))


def _check_jobs(jobs: int) -> None:
    if jobs < 1:
        raise UserError(f"--jobs is {jobs}; it must be at least 1")
