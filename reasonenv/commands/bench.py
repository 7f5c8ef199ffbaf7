"""`reasonenv bench`: suites of agents x environments x seeds."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reasonenv.commands.command import Group, SettingsCommand, TrustCode, application, reading, settings
from reasonenv.commands.report import report
from reasonenv.errors import UserError
from reasonenv.measures.records import SUITE
from reasonenv.storage import read_record
from reasonenv.terminal import show

if TYPE_CHECKING:
    from reasonenv.experiment.cells import Cell
    from reasonenv.experiment.suite import Suite

EXAMPLE = "example: reasonenv bench"

app = application(
    name="bench",
    cls=Group,
    help="Run a suite of agents x environments x seeds, go on with one, or report on one.",
    epilog=f"{EXAMPLE} run quickstart --out runs/quickstart",
)

Name = Annotated[str, typer.Argument(metavar="SUITE", help="a name from `reasonenv list suites`, or a TOML file")]
Scale = Annotated[str | None, typer.Option(help="one of the suite's scales (default: its first)")]
Jobs = Annotated[int, typer.Option(help="cells at a time", show_default="cores")]
CORES = os.cpu_count() or 1


@app.command("run", cls=SettingsCommand, epilog=f"{EXAMPLE} run quickstart --out runs/quickstart lr=1e-4")
def run(
    context: typer.Context,
    name: Name,
    scale: Scale = None,
    out: Annotated[Path | None, typer.Option(help="folder of the suite (default: runs/SUITE)")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say how many cells there are and what they ask for, and run nothing")
    ] = False,
    jobs: Jobs = CORES,
    trust_code: TrustCode = False,
) -> int:
    """Run what is missing, then report. Exits with 1 if a cell has failed.

    Settings, KEY=VALUE or --key VALUE, stand above those of the suite's table [keys]: they hold for every cell whose
    agent or initial policy does not say otherwise, and a cell with other settings is another cell.
    """
    from reasonenv.experiment.suite import read_suite, suite_path

    keys, path = settings(context), suite_path(name)
    with _reading(path, keys.values(), trust_code=trust_code):
        suite = read_suite(path, scale, keys)
        if dry_run:
            show(*_plan(suite))
            return 0
        label = f"{suite.name}-{suite.scale}" if suite.scale else suite.name
        return _finish(suite, out or Path("runs") / label, jobs, _command("run", name, suite, keys))


def _reading(path: Path, typed: Iterable[str] = (), *, trust_code: bool) -> AbstractContextManager[None]:
    """As `reading`: a suite file is a person's choice, unless it is the one that a suite's folder keeps."""
    stored = (path.parent / SUITE).is_file()
    return reading(path, typed, trust_code=trust_code or not stored)


def _command(action: str, name: str, suite: Suite, keys: Mapping[str, Any]) -> str:
    """The command line that makes the same suite again."""
    words = ["reasonenv", "bench", action, name]
    if suite.scale:
        words += ["--scale", suite.scale]
    return shlex.join([*words, *(f"{key}={value}" for key, value in keys.items())])


def _plan(suite: Suite) -> Iterator[str]:
    """What a suite asks for, an agent a line. It counts alone: what the counts take depends on machine and lengths."""
    agents: dict[str, list[Cell]] = {}
    for cell in suite.cells:
        agents.setdefault(cell.agent, []).append(cell)
    yield f"{'agent':<20}{'cells':>8}{'learned from':>16}{'held-out answers':>20}"
    for agent, cells in (*agents.items(), ("all", list(suite.cells))):
        learned = sum(cell.planned for cell in cells)
        measured = sum(cell.measured for cell in cells if cell.answers is None)  # others choose among stored ones
        yield f"{agent:<20}{len(cells):>8}{learned:>16,}{measured:>20,}"


@app.command("tune", epilog=f"{EXAMPLE} tune quickstart --out runs/tuned")
def tune(
    name: Name,
    out: Annotated[Path, typer.Option(help="folder of the trials and of suite.toml")],
    scale: Scale = None,
    jobs: Jobs = CORES,
    trust_code: TrustCode = False,
) -> None:
    """Choose settings on validation problems, as the suite's table [tune] says; leaves a suite file to run."""
    from reasonenv.experiment.suite import read_suite, suite_path
    from reasonenv.experiment.tune import tune as tune_suite
    from reasonenv.measures.tuning_record import provenance_of_settings

    _check_jobs(jobs)
    with _reading(suite_path(name), trust_code=trust_code):
        suite = read_suite(suite_path(name), scale)
        path = tune_suite(suite, out, jobs=jobs, command=_command("tune", name, suite, {}))
        tuned = read_suite(path).config.tuned or {}
    for agent, record in tuned["agents"].items():
        for trial in record["tried"]:
            values = {key: trial[key] for key in tuned["keys"]}
            written = " ".join(f"{key}={value}" for key, value in values.items())
            chosen = "  chosen" if values == record["chosen"] else ""
            show(f"{agent:<16} {written:<24} {trial['accuracy']:.3f}{chosen}")
    show(provenance_of_settings(tuned))
    show(f"reasonenv bench run {path}")


@app.command("resume", epilog=f"{EXAMPLE} resume runs/quickstart")
def resume(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder of a suite")],
    jobs: Jobs = CORES,
    trust_code: TrustCode = False,
) -> int:
    """Run what is missing in a suite's folder. Exits with 1 if a cell has failed.

    Code that its suite.toml names runs only with --trust-code.
    """
    from reasonenv.experiment.suite import read_suite

    path, file = folder / SUITE, folder / "suite.toml"
    if not (path.is_file() and file.is_file()):
        raise UserError(f"{folder} is not the folder of a suite: it has no suite.toml and suite.json")
    record = read_record(path)
    if not {"scale", "command"} <= record.keys():
        raise UserError(f"{path} does not say scale and command; give the folder of a suite")
    with reading(file, trust_code=trust_code):
        return _finish(read_suite(file, record["scale"]), folder, jobs, record["command"])


app.command("report", epilog=f"{EXAMPLE} report runs/quickstart")(report)


def _finish(suite: Suite, folder: Path, jobs: int, command: str) -> int:
    """Runs and reports. The exit code: 1 if a cell has failed."""
    from reasonenv.experiment.scheduler import run_suite
    from reasonenv.report import console_text, write_report

    _check_jobs(jobs)
    failed = run_suite(suite, folder, jobs=jobs, command=command)
    show(*console_text(write_report(folder)).split("\n"))
    if failed:
        show(f"{failed} of {len(suite.cells)} cells have failed; the same command runs them again")
    return int(failed > 0)


def _check_jobs(jobs: int) -> None:
    if jobs < 1:
        raise UserError(f"--jobs is {jobs}; it must be at least 1")
