"""The log of a run: `metrics.jsonl`, TensorBoard, one progress bar, a short table and a few answers."""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from reasonenv.measures.records import LOG, logged_rows
from reasonenv.registry import Registry
from reasonenv.storage import naming, replace
from reasonenv.terminal import complain, printable, progress_bar

PACE = 60.0  # seconds between two lines in a log file, beside the tables

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


class Logger(Protocol):
    """Where numbers and texts of a run go beside its own files: see `LoggerFactory` for how one is made."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Points of curves at one step, by the names of the curves."""

    def text(self, name: str, text: str, step: int) -> None:
        """A text in Markdown."""

    def close(self) -> None:
        """Everything is stored after this."""


# Of the run's folder, all its settings, and the first step that is to come; None for a curve of a run that has ended.
LoggerFactory = Callable[[Path, Mapping[str, Any], int | None], Logger]

LOGGERS = Registry[LoggerFactory]("logger", "reasonenv.loggers", {"tensorboard": "reasonenv.learn.log:TensorBoard"})
NO_LOGGER = "none"
FULL = {errno.ENOSPC, errno.EDQUOT}  # of a disk, on which the run itself cannot go on either


def check_loggers(names: str) -> None:
    """Raises `UserError` for an unknown one among names that are joined by `+`."""
    for name in _logger_names(names):
        LOGGERS.check_name(name)


def _logger_names(names: str) -> list[str]:
    return [] if names == NO_LOGGER else names.split("+")


class Loggers:
    """The loggers of a run as one, by their names joined by `+`; `none` is none.

    One that cannot be made is a `UserError`. What one raises later is said once, and the run goes on without it.
    """

    def __init__(self, names: str, out: Path, settings: Mapping[str, Any], first: int | None) -> None:
        self._loggers: dict[str, Logger] = {}
        for name in _logger_names(names):
            self._loggers[name] = LOGGERS.call(name, out, settings, first)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._call("scalars", values, step)

    def text(self, name: str, text: str, step: int) -> None:
        self._call("text", name, text, step)

    def close(self) -> None:
        self._call("close")

    def _call(self, method: str, *arguments: Any) -> None:
        for name, logger in list(self._loggers.items()):
            try:
                getattr(logger, method)(*arguments)
            except Exception as error:  # of other people's code and networks
                if isinstance(error, OSError) and error.errno in FULL:
                    raise
                del self._loggers[name]
                complain(
                    f"logger {name} failed in {method} and is left out from here on: {type(error).__name__}: {error}"
                )


OpenLoggers = Callable[[int | None], Logger]  # those of a run, at its next step


def no_loggers(first: int | None) -> Loggers:
    """As `OpenLoggers`."""
    return Loggers(NO_LOGGER, Path(), {}, first)


class TensorBoard:
    """Event files in `out/tensorboard`. What an interrupted run has left from step `first` on is no longer shown."""

    def __init__(self, out: Path, settings: Mapping[str, Any], first: int | None = None) -> None:
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

    def __init__(
        self,
        out: Path,
        *,
        iteration: int,
        used: int,
        budget: int,
        unit: str,
        loggers: OpenLoggers = no_loggers,
        quiet: bool = False,
    ) -> None:
        path = out / LOG
        rows = logged_rows(out) if iteration else []
        replace(path, "".join(f"{json.dumps(row)}\n" for row in rows[: iteration + 1]))
        self._path, self._file = path, path.open("a")
        self._loggers = loggers(iteration + 1)
        self._quiet, self._unit, self._next_line = quiet, unit, 0.0
        self._bar = progress_bar(budget, unit, initial=used, quiet=quiet)
        self._used, self._budget = used, budget

    def used(self, rollouts: int) -> None:
        """Moves the bar."""
        self._used += rollouts
        self._bar.update(rollouts)

    def doing(self, what: str) -> None:
        """What the run is at, in front of the bar."""
        self._bar.set_description(what)

    def row(self, metrics: Mapping[str, Any]) -> None:
        """One iteration."""
        with naming(self._path):
            self._file.write(json.dumps(metrics) + "\n")
            self._file.flush()
        points = {}
        for name, value in metrics.items():
            if isinstance(value, int | float) and math.isfinite(value):
                points[name if "/" in name else f"train/{name}"] = value
        self._loggers.scalars(points, int(metrics["iteration"]))
        shown = {k: f"{metrics[k]:.3f}" for k in ("reward", "eval/greedy_accuracy", "loss") if k in metrics}
        self._bar.set_postfix(shown, refresh=False)
        if self._bar.disable and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + PACE
            numbers = ", ".join(f"{name} {value}" for name, value in shown.items())
            self.say(f"iteration {metrics['iteration']}, {self._used} of {self._budget} {self._unit}, {numbers}")

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
            self._loggers.text(f"answers/{number}", text, iteration)

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
        self._loggers.close()


def log_curve(logger: Logger, name: str, points: Mapping[int, float]) -> None:
    """A curve over something else than iterations, such as pass@k over k, of an ended run."""
    for x, y in points.items():
        logger.scalars({name: y}, x)
    logger.close()
