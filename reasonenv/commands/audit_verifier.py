"""`reasonenv audit-verifier`: false accepts and false rejects of the verifier, with intervals."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reasonenv.commands.command import AsJson, application
from reasonenv.errors import UserError
from reasonenv.terminal import show, show_json

if TYPE_CHECKING:
    from reasonenv.verify.audit import Row

app = application()


@app.command("audit-verifier", epilog="example: reasonenv audit-verifier GSM8K --split test")
def audit_verifier(
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="a task whose reference solutions are verified as well")
    ] = None,
    split: Annotated[str, typer.Option(help="of the task")] = "test",
    data: Annotated[
        str | None, typer.Option(metavar="PATH", help="the task's file or folder (default as in training)")
    ] = None,
    problems: Annotated[int, typer.Option(help="of the task, the first ones")] = 1000,
    corpus: Annotated[Path | None, typer.Option(metavar="FILE", help="pairs of your own, not the shipped ones")] = None,
    timeout: Annotated[float, typer.Option(help="seconds for one comparison")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Measure false accepts and false rejects: an equivalence corpus, attacks, and a task's own gold answers."""
    from reasonenv.catalog import make_task
    from reasonenv.verify import audit

    if problems < 1:
        raise UserError(f"--problems is {problems}; it must be at least 1")
    if corpus is not None and not corpus.is_file():
        raise UserError(f"--corpus: there is no file {corpus}")
    if not timeout > 0:
        raise UserError(f"--timeout is {timeout}; it must be above 0 seconds")
    golds = []
    if task is not None:
        keys = {} if data is None else {"data": data}
        golds.append(audit.check_golds(make_task(task, split=split, **keys), problems))
    parts = {
        "corpus": audit.check(audit.corpus(corpus), timeout),
        "attacks": audit.check(audit.attacks(), timeout),
        "golds": golds,
    }
    rates = {name: _rates(rows) for name, rows in parts.items() if rows}
    if as_json:
        show_json({"rates": rates, "rows": parts}, default=asdict)
        return
    show(f"{'':<18} {'right':>6} {'rejected':>9} {'wrong':>6} {'accepted':>9} {'failed':>7}")
    for rows in parts.values():
        for row in rows:
            counts = f"{row.right:>6} {len(row.rejected):>9} {row.wrong:>6} {len(row.accepted):>9} {row.failed:>7}"
            show(f"{row.category:<18} {counts}")
    for part, intervals in rates.items():
        for name, rate in intervals.items():
            show(f"{part}: {name} {rate['rate']:.4f}  [{rate['low']:.4f}, {rate['high']:.4f}]  n = {rate['n']:.0f}")
    for rows in parts.values():
        for row in rows:
            for line in row.accepted:
                show(f"falsely accepted, {row.category}: {line}")
            for line in row.rejected:
                show(f"falsely rejected, {row.category}: {line}")


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
