"""`reasonenv audit-verifier`: false accepts and false rejects of the verifier, by family and with intervals."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reasonenv.commands.command import AsJson, application
from reasonenv.errors import UserError
from reasonenv.terminal import show, show_json

if TYPE_CHECKING:
    from reasonenv.tasks import Task
    from reasonenv.verify.audit import Row

app = application()


@app.command("audit-verifier", epilog="example: reasonenv audit-verifier GSM8K --split test")
def audit_verifier(
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="whose reference solutions are verified (default: every published set)"),
    ] = None,
    split: Annotated[str, typer.Option(help="of the task")] = "test",
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="the task's file or folder, or the folder of the sets ($REASONENV_DATA)"),
    ] = None,
    problems: Annotated[int | None, typer.Option(help="of each set, the first ones (default: all)")] = None,
    corpus: Annotated[Path | None, typer.Option(metavar="FILE", help="pairs of your own, not the shipped ones")] = None,
    timeout: Annotated[float, typer.Option(help="seconds for one comparison")] = 5.0,
    as_json: AsJson = False,
) -> int:
    """Measure false accepts and false rejects: an equivalence corpus, attacks, and the gold answers of data sets.

    Exits with 1 if a wrong answer was accepted or a gold answer was not, and with 0 otherwise.
    """
    from reasonenv.verify import audit

    if problems is not None and problems < 1:
        raise UserError(f"--problems is {problems}; it must be at least 1")
    if corpus is not None and not corpus.is_file():
        raise UserError(f"--corpus: there is no file {corpus}")
    if not timeout > 0:
        raise UserError(f"--timeout is {timeout}; it must be above 0 seconds")
    trials = audit.corpus(corpus)
    golds = [audit.check_golds(made, name, problems) for name, made in _tasks(task, split, data)]
    parts = {"corpus": audit.check(trials, timeout), "attacks": audit.check(audit.attacks(), timeout), "golds": golds}
    rates = {name: _rates(rows) for name, rows in parts.items() if rows}
    if as_json:
        show_json({"rates": rates, "rows": parts}, default=asdict)
    else:
        _print(parts, rates)
    falsely_accepted = any(row.accepted for rows in parts.values() for row in rows)
    return int(falsely_accepted or any(row.rejected for row in golds))


def _tasks(task: str | None, split: str, data: Path | None) -> Iterator[tuple[str, Task]]:
    """The task that is named, or every published set that lies in the data folder."""
    from reasonenv.catalog import make_task
    from reasonenv.data.files import VARIABLE
    from reasonenv.data.published import published

    if task is not None:
        keys = {} if data is None else {"data": data}
        yield f"{task} {split}", make_task(task, split=split, **keys)
        return
    if data is not None and not data.is_dir():
        raise UserError(f"--data: there is no folder {data}; name a TASK to give a file of it")
    folder = data or os.environ.get(VARIABLE)
    if folder:
        yield from published(Path(folder).expanduser())


def _print(parts: dict[str, list[Row]], rates: dict[str, dict[str, dict[str, float]]]) -> None:
    width = max(len(row.category) for rows in parts.values() for row in rows) + 2
    columns = f"{'right':>7} {'rejected':>9} {'wrong':>7} {'accepted':>9} {'failed':>7}"
    for part, rows in parts.items():
        if rows:
            show(f"{part:<{width}} {columns}")
        for row in rows:
            show(f"  {row.category:<{width - 2}} {_counts([row])}")
        if len(rows) > 1:
            show(f"  {'total':<{width - 2}} {_counts(rows)}", "")
    for part, intervals in rates.items():
        for name, rate in intervals.items():
            show(f"{part}: {name} {rate['rate']:.4f}  [{rate['low']:.4f}, {rate['high']:.4f}]  n = {rate['n']:.0f}")
    for rows in parts.values():
        for row in rows:
            for line in row.accepted:
                show(f"falsely accepted, {row.category}: {line}")
            for line in row.rejected:
                show(f"falsely rejected, {row.category}: {line}")


def _counts(rows: Iterable[Row]) -> str:
    right = rejected = wrong = accepted = failed = 0
    for row in rows:
        right += row.right
        rejected += len(row.rejected)
        wrong += row.wrong
        accepted += len(row.accepted)
        failed += row.failed
    return f"{right:>7} {rejected:>9} {wrong:>7} {accepted:>9} {failed:>7}"


def _rates(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Share of wrong answers accepted and of right ones rejected, each with its 95 % Wilson interval."""
    from reasonenv.stats import wilson

    counts = {
        "false accepts": (sum(len(row.accepted) for row in rows), sum(row.wrong for row in rows)),
        "false rejects": (sum(len(row.rejected) for row in rows), sum(row.right for row in rows)),
    }
    rates = {}
    for name, (misjudged, n) in counts.items():
        if n:
            low, high = wilson(misjudged / n, n)
            rates[name] = {"rate": misjudged / n, "low": low, "high": high, "n": n}
    return rates
