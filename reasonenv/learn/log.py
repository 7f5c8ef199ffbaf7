"""What a run tells: `metrics.jsonl`, TensorBoard, one progress bar, a short table and a few answers."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reasonenv.terminal import printable

# What a person watches, in this order; everything else is in metrics.jsonl and TensorBoard.
TABLE = {
    "reward": "reward",
    "accuracy": "accuracy",
    "eval/greedy_accuracy": "greedy accuracy",
    "entropy": "entropy",
    "truncated": "truncated",
    "verifier_errors": "verifier errors",
    "tokens_per_second": "tokens/s",
    "gap/mean": "sampler gap",
}


class RunLog:
    """Writes the log of one run into `out`, continuing after row `iteration` of an earlier, interrupted one.

    Row 0 of `metrics.jsonl` is the state before training.
    """

    def __init__(self, out: Path, *, iteration: int, used: int, budget: int, unit: str, quiet: bool = False) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path = out / "metrics.jsonl"
        kept = self._path.read_text().splitlines() if self._path.exists() else []
        partial = self._path.with_suffix(".partial")  # a kill in the middle of writing must not lose the rows
        partial.write_text("".join(f"{line}\n" for line in kept[: iteration + 1 if iteration else 0]))
        partial.replace(self._path)
        self._file = self._path.open("a")
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=iteration + 1)
        self._quiet = quiet
        # A log file wants a line now and then, a person a bar that moves.
        pace = 0.1 if sys.stderr.isatty() else 30.0
        self._bar = tqdm(
            total=budget, initial=used, unit=f" {unit}", dynamic_ncols=True, disable=quiet, mininterval=pace
        )

    def used(self, rollouts: int) -> None:
        """Moves the bar."""
        self._bar.update(rollouts)

    def doing(self, what: str) -> None:
        """What the run is at, in front of the bar."""
        self._bar.set_description(what, refresh=sys.stderr.isatty())

    def row(self, metrics: Mapping[str, Any]) -> None:
        """One iteration."""
        self._file.write(json.dumps(metrics) + "\n")
        self._file.flush()
        for name, value in metrics.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self._board.add_scalar(name if "/" in name else f"train/{name}", value, int(metrics["iteration"]))
        shown = {k: metrics[k] for k in ("reward", "eval/greedy_accuracy", "loss") if k in metrics}
        self._bar.set_postfix({k: f"{v:.3f}" for k, v in shown.items()}, refresh=False)

    def table(self, metrics: Mapping[str, Any]) -> None:
        """The few numbers that matter, for a person."""
        lines = [f"iteration {metrics['iteration']}, {metrics['rollouts']} rollouts, {metrics['tokens']} tokens"]
        for key, label in TABLE.items():
            if key in metrics:
                interval = (
                    f"  [{metrics[f'{key}/low']:.3f}, {metrics[f'{key}/high']:.3f}]" if f"{key}/low" in metrics else ""
                )
                lines.append(f"  {label:<18} {metrics[key]:>10.4g}{interval}")
        self.say("\n".join(lines))

    def answers(self, iteration: int, answers: Sequence[tuple[str, str, str]]) -> None:
        """(question, response, verdict) of a few samples, on the console and in TensorBoard."""
        for number, (question, response, verdict) in enumerate(answers):
            asked, given = printable(question.strip(), keep="\n"), printable(response.strip().replace("\n", " ⏎ "))
            self.say(f"  {asked}\n    {given}\n    -> {verdict}")
            text = "\n".join(f"    {line}" for line in f"{question}\n{response}\n-> {verdict}".splitlines())
            self._board.add_text(f"answers/{number}", text, iteration)

    def say(self, text: str) -> None:
        """A line above the progress bar."""
        if not self._quiet:
            self._bar.write(text)

    def sync(self) -> None:
        """The rows are on the disk after this: a checkpoint must not be younger than its rows."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Everything is on disk after this."""
        self._bar.close()
        self._file.close()
        self._board.close()


def board_curve(out: Path, name: str, points: Mapping[int, float]) -> None:
    """A curve over something else than iterations, such as pass@k over k, in the TensorBoard of an ended run."""
    from torch.utils.tensorboard import SummaryWriter

    board = SummaryWriter(str(out / "tensorboard"))
    for x, y in points.items():
        board.add_scalar(name, y, x)
    board.close()
