"""`reasonenv compare`: two runs on the same problems."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reasonenv.measures.pair import Comparison

HELP = "Compare two runs, paired by question: B minus A, with intervals, and whether they count as equal."
EXAMPLE = "reasonenv compare runs/grpo runs/ei"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", type=Path, help="folder of a finished run, or of a cell of a suite")
    parser.add_argument("second", metavar="B", type=Path, help="another one; the differences are B minus A")
    text = "differences below it count as none (default 0.02, two points)"
    parser.add_argument("--margin", type=float, default=0.02, help=text)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> None:
    from reasonenv.measures.pair import compare

    rows = [_row(comparison, arguments.margin) for comparison in compare(arguments.first, arguments.second)]
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'metric':<16}{'A':>8}{'B':>8}   {'B - A [95 %]':<26}{'p':>7}{'MDE':>8}  conclusion")
    for row in rows:
        interval = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        print(
            f"{row['metric']:<16}{row['first']:>8.3f}{row['second']:>8.3f}   {interval:<26}{row['p']:>7.3f}"
            f"{row['detectable']:>8.3f}  {row['conclusion']}"
        )
    print(
        f"A: {arguments.first}, B: {arguments.second}, {rows[0]['questions']} questions. Two trained policies with one "
        "seed each: the intervals are over other questions and say nothing of other training seeds, which takes a "
        f"suite. The metrics below the first are corrected for their number. Equal: within ±{arguments.margin}. MDE: "
        "the true difference that four in five such comparisons would find."
    )


def _row(comparison: Comparison, margin: float) -> dict[str, Any]:
    contrast = comparison.contrast
    return {
        "metric": comparison.metric,
        "first": comparison.first,
        "second": comparison.second,
        "difference": contrast.value,
        "low": contrast.low,
        "high": contrast.high,
        "p": contrast.p_value,
        "detectable": contrast.detectable,
        "conclusion": comparison.conclusion(margin),
        "questions": contrast.questions,
    }
