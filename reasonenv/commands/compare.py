"""`reasonenv compare`: two runs on the same problems."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "Compare two runs, paired by problem: differences, intervals, and whether they count as equal."
EXAMPLE = "reasonenv compare runs/grpo runs/ei"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="RUN", type=Path, help="folder of a finished run, or of a cell of a suite")
    parser.add_argument("second", metavar="RUN", type=Path)
    text = "differences below it count as none (default 0.02, two points)"
    parser.add_argument("--margin", type=float, default=0.02, help=text)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> None:
    from reasonenv.evaluate.pair import compare

    found = [
        {
            "metric": c.metric,
            "first": c.first,
            "second": c.second,
            "difference": c.difference.value,
            "low": c.difference.low,
            "high": c.difference.high,
            "p": c.spread.p_value,
            "equivalence_p": c.spread.equivalence_p(arguments.margin),
            "detectable": c.spread.detectable,
            "problems": c.difference.n,
        }
        for c in compare(arguments.first, arguments.second)
    ]
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    print(
        f"{'metric':<12}{'first':>8}{'second':>8}   {'difference [95 %]':<26}{'p':>7}{'p(equal)':>10}{'detectable':>12}"
    )
    for row in found:
        interval = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        print(
            f"{row['metric']:<12}{row['first']:>8.3f}{row['second']:>8.3f}   {interval:<26}{row['p']:>7.3f}"
            f"{row['equivalence_p']:>10.3f}{row['detectable']:>12.3f}"
        )
    print(
        f"{found[0]['problems']} problems. p: no difference. p(equal): a difference of {arguments.margin} or more, so "
        "below 0.05 the two are equivalent. detectable: found four times in five."
    )
