"""`reasonenv audit-verifier`: false accepts and false rejects of the verifier, with intervals."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from reasonenv.errors import UserError

if TYPE_CHECKING:
    from reasonenv.verify.audit import Row

HELP = "Measure false accepts and false rejects: an equivalence corpus, attacks, and a task's own gold answers."
EXAMPLE = "reasonenv audit-verifier GSM8K --split test"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", nargs="?", metavar="TASK", help="a task whose reference solutions are verified as well")
    parser.add_argument("--split", default="test", help="of the task (default test)")
    parser.add_argument(
        "--data", default=None, metavar="PATH", help="the task's file or folder (default as in training)"
    )
    parser.add_argument("--problems", type=int, default=1000, help="of the task, the first ones (default 1000)")
    parser.add_argument(
        "--corpus", type=Path, default=None, metavar="FILE", help="pairs of your own, not the shipped ones"
    )
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds for one comparison (default 5)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON and nothing else")


def run(arguments: argparse.Namespace) -> None:
    from reasonenv.catalog import make_task
    from reasonenv.verify import audit

    if arguments.problems < 1:
        raise UserError(f"--problems is {arguments.problems}; it must be at least 1")
    if arguments.corpus is not None and not arguments.corpus.is_file():
        raise UserError(f"--corpus: there is no file {arguments.corpus}")
    if not arguments.timeout > 0:
        raise UserError(f"--timeout is {arguments.timeout}; it must be above 0 seconds")
    golds = []
    if arguments.task:
        data = {} if arguments.data is None else {"data": arguments.data}
        task = make_task(arguments.task, split=arguments.split, **data)
        golds.append(audit.check_golds(task, arguments.problems))
    parts = {
        "corpus": audit.check(audit.corpus(arguments.corpus), arguments.timeout),
        "attacks": audit.check(audit.attacks(), arguments.timeout),
        "golds": golds,
    }
    rates = {name: _rates(rows) for name, rows in parts.items() if rows}
    if arguments.json:
        counted = {name: [asdict(row) for row in rows] for name, rows in parts.items()}
        print(json.dumps({"rates": rates, "rows": counted}))
        return
    print(f"{'':<18} {'right':>6} {'rejected':>9} {'wrong':>6} {'accepted':>9} {'failed':>7}")
    for rows in parts.values():
        for row in rows:
            counts = f"{row.right:>6} {len(row.rejected):>9} {row.wrong:>6} {len(row.accepted):>9} {row.failed:>7}"
            print(f"{row.category:<18} {counts}")
    for part, told in rates.items():
        for name, rate in told.items():
            print(f"{part}: {name} {rate['rate']:.4f}  [{rate['low']:.4f}, {rate['high']:.4f}]  n = {rate['n']:.0f}")
    for rows in parts.values():
        for row in rows:
            for kind, found in (("falsely accepted", row.accepted), ("falsely rejected", row.rejected)):
                print(*(f"{kind}, {row.category}: {line}" for line in found), sep="\n", end="\n" if found else "")


def _rates(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Share of wrong answers accepted and of right ones rejected, each with its 95 % Wilson interval."""
    from reasonenv.stats import mean_interval

    counts = {
        "false accepts": (sum(len(row.accepted) for row in rows), sum(row.wrong for row in rows)),
        "false rejects": (sum(len(row.rejected) for row in rows), sum(row.right for row in rows)),
    }
    found = {}
    for name, (misjudged, n) in counts.items():
        if n:
            e = mean_interval([1.0] * misjudged + [0.0] * (n - misjudged))
            found[name] = {"rate": e.value, "low": e.low, "high": e.high, "n": n}
    return found
