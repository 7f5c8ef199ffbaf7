"""The log of a run: `metrics.jsonl`, TensorBoard, one progress bar, a short table and a few answers."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from reasonenv.registry import Registry
from reasonenv.storage import naming, read_rows, replace
from reasonenv.terminal import printable

# What the console shows, in this order; everything else is in metrics.jsonl and TensorBoard.
TABLE = {
    "reward": "reward",
    "accuracy": "accuracy",
    "eval/greedy_accuracy": "greedy accuracy",
    "entropy": "entropy",
    "truncated": "truncated",
    "verifier_errors": "verifier errors",
    "hard_to_verify": "hard to verify",
    "tokens_per_second": "tokens/s",
    "gap/mean": "sampler gap",
}


METRICS = "metrics.jsonl"  # in the folder of a run


class Logger(Protocol):
    """Where numbers and texts of a run go beside its own files."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Points of curves at one step, by the names of the curves."""

    def text(self, name: str, text: str, step: int) -> None:
        """A text in Markdown."""

    def close(self) -> None:
        """Everything is stored after this."""


LoggerFactory = Callable[[Path, int | None], Logger]  # the run's folder, and the first step if there may be later ones

LOGGERS = Registry[LoggerFactory]("logger", "reasonenv.loggers", {"tensorboard": "reasonenv.learn.log:TensorBoard"})
DEFAULT_LOGGERS = ("tensorboard",)


class TensorBoard:
    """Event files in `out/tensorboard`. What an interrupted run has left from step `first` on is no longer shown."""

    def __init__(self, out: Path, first: int | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = out / "tensorboard"
        self._writer = SummaryWriter(str(self._folder), purge_step=first)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        with naming(self._folder):
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def text(self, name: str, text: str, step: int) -> None:
        with naming(self._folder):
            self._writer.add_text(name, text, step)

    def close(self) -> None:
        with naming(self._folder):
            self._writer.close()


class RunLog:
    """Writes the log of one run into `out`, continuing after row `iteration` of an earlier, interrupted one.

    Row 0 of `metrics.jsonl` is the state before training.
    """

    def __init__(self, out: Path, *, iteration: int, used: int, budget: int, unit: str, quiet: bool = False) -> None:
        path = out / METRICS
        rows = read_rows(path, whole=False) if iteration and path.exists() else []
        replace(path, "".join(f"{json.dumps(row)}\n" for row in rows[: iteration + 1]))
        self._path, self._file = path, path.open("a")
        self._loggers = [LOGGERS.find(name)(out, iteration + 1) for name in DEFAULT_LOGGERS]
        self._quiet = quiet
        # A log file wants a line now and then, a person a bar that moves.
        pace = 0.1 if sys.stderr.isatty() else 30.0
        unit = f" {unit}"
        self._bar = tqdm(total=budget, initial=used, unit=unit, dynamic_ncols=True, disable=quiet, mininterval=pace)

    def used(self, rollouts: int) -> None:
        """Moves the bar."""
        self._bar.update(rollouts)

    def doing(self, what: str) -> None:
        """What the run is at, in front of the bar."""
        self._bar.set_description(what, refresh=sys.stderr.isatty())

    def row(self, metrics: Mapping[str, Any]) -> None:
        """One iteration."""
        with naming(self._path):
            self._file.write(json.dumps(metrics) + "\n")
            self._file.flush()
        points = {}
        for name, value in metrics.items():
            if isinstance(value, int | float) and math.isfinite(value):
                points[name if "/" in name else f"train/{name}"] = value
        for logger in self._loggers:
            logger.scalars(points, int(metrics["iteration"]))
        shown = {k: metrics[k] for k in ("reward", "eval/greedy_accuracy", "loss") if k in metrics}
        self._bar.set_postfix({k: f"{v:.3f}" for k, v in shown.items()}, refresh=False)

    def table(self, metrics: Mapping[str, Any]) -> None:
        """The few numbers that matter, for a person."""
        lines = [f"iteration {metrics['iteration']}, {metrics['rollouts']} rollouts, {metrics['tokens']} tokens"]
        for key, label in TABLE.items():
            if key not in metrics:
                continue
            line = f"  {label:<18} {metrics[key]:>10.4g}"
            if f"{key}/low" in metrics:
                line += f"  [{metrics[f'{key}/low']:.3f}, {metrics[f'{key}/high']:.3f}]"
            lines.append(line)
        self.say("\n".join(lines))

    def answers(self, iteration: int, answers: Sequence[tuple[str, str, str]]) -> None:
        """(question, response, verdict) of a few samples, on the console and in TensorBoard."""
        for number, (question, response, verdict) in enumerate(answers):
            written = response.strip().replace("\n", " ⏎ ")
            self.say(f"  {question.strip()}\n    {written}\n    -> {verdict}")
            text = "\n".join(f"    {line}" for line in f"{question}\n{response}\n-> {verdict}".splitlines())
            for logger in self._loggers:
                logger.text(f"answers/{number}", text, iteration)

    def say(self, text: str) -> None:
        """Lines above the progress bar."""
        if not self._quiet:
            self._bar.write(printable(text, keep="\n"))

    def sync(self) -> None:
        """The rows are on the disk after this: a checkpoint must not be younger than its rows."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Everything is on disk after this."""
        self._bar.close()
        self._file.close()
        for logger in self._loggers:
            logger.close()


def log_curve(out: Path, name: str, points: Mapping[int, float]) -> None:
    """A curve over something else than iterations, such as pass@k over k, of an ended run."""
    for kind in DEFAULT_LOGGERS:
        logger = LOGGERS.find(kind)(out, None)
        for x, y in points.items():
            logger.scalars({name: y}, x)
        logger.close()
