"""`reasonenv compare`: two runs on the same problems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reasonenv.commands.command import AsJson, application
from reasonenv.terminal import show, show_json

if TYPE_CHECKING:
    from reasonenv.measures.pair import Comparison

app = application()


@app.command("compare", epilog="example: reasonenv compare runs/grpo runs/ei")
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="folder of a finished run, or of a cell of a suite")],
    second: Annotated[Path, typer.Argument(metavar="B", help="another one; the differences are B minus A")],
    margin: Annotated[float, typer.Option(help="differences below it count as none")] = 0.02,
    as_json: AsJson = False,
) -> None:
    """Compare two runs, paired by question: B minus A, with intervals, and whether they count as equal."""
    from reasonenv.measures import pair

    rows = [_row(comparison, margin) for comparison in pair.compare(first, second)]
    if as_json:
        show_json(rows, indent=1)
        return
    show(f"{'metric':<16}{'A':>8}{'B':>8}   {'B - A [95 %]':<26}{'p':>7}{'MDE':>8}  conclusion")
    for row in rows:
        interval = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        show(
            f"{row['metric']:<16}{row['first']:>8.3f}{row['second']:>8.3f}   {interval:<26}{row['p']:>7.3f}"
            f"{row['detectable']:>8.3f}  {row['conclusion']}"
        )
    show(
        f"A: {first}, B: {second}, {rows[0]['questions']} questions. Two trained policies with one "
        "seed each: the intervals are over other questions and say nothing of other training seeds, which takes a "
        f"suite. The metrics below the first are corrected for their number. Equal: within ±{margin}. MDE: "
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
