"""Runs a suite: each cell in a process of its own with one thread, in a folder named by its content.

A crash costs its cell alone and a result does not depend on how many cells ran beside it. What is finished is never run
again; a killed cell goes on from its checkpoint.

DIR/suite.toml, suite.json          the suite as it was read, and what the report needs to know of it; among that are
                                    `notices` on initial policies, and how settings were `tuned`
DIR/problems.jsonl                  what is asked
DIR/cells/<cell>/                   the run of a cell, and `cell.json`: where it stands
DIR/report.html, table.*            the report
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.experiment.cells import BASELINE, REFERENCES, Cell
from reasonenv.experiment.config import RunConfig
from reasonenv.experiment.identity import code_of, edited
from reasonenv.experiment.manifest import changed_split, hardware, versions
from reasonenv.experiment.notices import cell_notice, measured, refuse_without_signal
from reasonenv.experiment.processes import fingerprints, processes
from reasonenv.experiment.stored_baselines import choose
from reasonenv.experiment.suite import Suite
from reasonenv.experiment.train import train
from reasonenv.experiment.weights import check_weights, weights_of
from reasonenv.measures.questions import PROBLEMS, write_questions
from reasonenv.measures.records import (
    BUDGET,
    CELL,
    LOG,
    MANIFEST,
    RUN,
    SUITE,
    SUMMARY,
    CellRecord,
    Notice,
    SuiteRecord,
    write_record,
)
from reasonenv.measures.samples import EVALUATION, read_samples
from reasonenv.storage import check_writable, owned, read_record, replace
from reasonenv.terminal import printable, progress_bar, show

if TYPE_CHECKING:
    from tqdm import tqdm

POLL = 0.2  # seconds between two looks at the processes
ORPHAN = 60.0  # seconds for a process to end after its parent has
# Imported once for all cells, by the server that they are forked from: 3 s of processor time a cell. It computes
# nothing itself, so there are no threads that a fork could copy half-way.
PRELOADED = (
    "reasonenv.experiment.train",
    "reasonenv.sampling.torch.torch_sampler",
    "transformers.models.llama.modeling_llama",
    "torch.utils.tensorboard",
    "scipy.stats",
)


def run_suite(suite: Suite, out: Path, *, jobs: int, command: str) -> int:
    """Runs the cells that are not done, `jobs` at a time. Returns how many have failed."""
    with working(suite, out) as problems:
        run_cells(suite, out, problems, jobs=jobs, command=command)
        return sum(_status(_folder(out, cell)) != "done" for cell in suite.cells)


@contextmanager
def working(suite: Suite, out: Path) -> Iterator[list[Problem]]:
    """Within it no other process works in the suite's folder. Gives the problems that the suite asks.

    Raises `UserError` for missing data and bad settings, and for cells there that had other data or started from other
    weights, before anything is written.
    """
    check_writable(out)
    data = _data(suite)
    problems = [problem for cell in suite.cells for problem in data[_data_key(cell.run)][0]]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to --out {out}: {error.strerror}") from error
    with owned(out):
        for cell in suite.cells:
            _check_inputs(cell, out, data[_data_key(cell.run)][1])
        yield problems


def run_cells(suite: Suite, out: Path, problems: Sequence[Problem], *, jobs: int, command: str) -> None:
    """Runs the cells that are not done, and leaves what a report needs to know of the suite."""
    started = time.monotonic()
    missing = [cell for cell in suite.cells if _status(_folder(out, cell)) != "done"]
    if not missing:
        show(f"all {len(suite.cells)} cells of {suite.name} are done; nothing to run")
    earlier = float(read_record(out / SUITE).get("seconds", 0.0)) if (out / SUITE).exists() else 0.0
    _write_suite(suite, out, command, earlier)
    replace(out / "suite.toml", suite.source)
    write_questions(out / PROBLEMS, problems)
    total = sum(cell.run.iterations for cell in missing)
    with progress_bar(total, "iterations", quiet=not missing) as bar:
        try:
            Scheduler(suite, out, jobs=jobs, bar=bar).run(missing)
        finally:  # an interrupted suite has used its time too
            _write_suite(suite, out, command, earlier + time.monotonic() - started)


class Scheduler:
    """Runs cells in processes of their own, at most `jobs` at a time, each after the cells that it starts from."""

    def __init__(self, suite: Suite, out: Path, *, jobs: int, bar: tqdm[Any]) -> None:
        self.suite, self.out, self.jobs, self.bar = suite, out, jobs, bar
        self.running: dict[str, tuple[Cell, Any]] = {}  # name -> the cell and its process
        self.progress: dict[str, RowCounter] = {}
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(list(PRELOADED))

    def say(self, line: str) -> None:
        """A line above the progress bar."""
        self.bar.write(printable(line))

    def run(self, cells: Sequence[Cell]) -> None:
        """Returns when all cells have ended. Ctrl-C lets each of them save; a second one leaves at once.

        Raises `UserError` as soon as it is known that no agent can learn anything.
        """
        self._report_initial_policies()
        waiting = in_order(cells)
        for cell in cells:
            self.progress[cell.name] = RowCounter(_folder(self.out, cell) / LOG)
        self._update_bar(cells)
        try:
            while waiting or self.running:
                self._start_ready(waiting)
                time.sleep(POLL)
                self._update_bar([cell for cell, _ in self.running.values()])
                self._collect_ended()
        except (KeyboardInterrupt, UserError):
            self._stop()
            raise

    def _start_ready(self, waiting: list[Cell]) -> None:
        """Starts as many as there is room for of those whose predecessors have ended, and takes them from `waiting`."""
        unfinished = {cell.name for cell in waiting} | self.running.keys()
        for cell in list(waiting):
            if len(self.running) == self.jobs:
                return
            if unfinished.isdisjoint((*cell.needs, *cell.after)):
                waiting.remove(cell)
                self._start(cell)

    def _start(self, cell: Cell) -> None:
        """Starts the process of a cell. One that cannot start, or takes a moment, has ended when this returns."""
        cells = self.out / "cells"
        failed = [name for name in cell.needs if _status(cells / name) != "done"]
        if failed:
            _write_cell(cells / cell.name, cell, "failed", f"what it starts from has failed: {failed[0]}")
        elif cell.answers is not None:  # it chooses among stored answers
            run_cell(cell, cells)
        else:
            process = self.context.Process(target=run_cell, args=(cell, cells), daemon=True)
            with _one_thread(), _interrupts_ignored():
                process.start()
            self.running[cell.name] = (cell, process)
            return
        self.say(outcome(cell, cells / cell.name))

    def _collect_ended(self) -> None:
        """Says how the cells went whose processes have ended."""
        for name, (cell, process) in list(self.running.items()):
            if process.is_alive():
                continue
            del self.running[name]
            folder = _folder(self.out, cell)
            if process.exitcode:  # it was killed, and could not write its own end
                _write_cell(folder, cell, "failed", f"the process ended with exit code {process.exitcode}")
            self._update_bar([cell])
            self.say(outcome(cell, folder))
            if measured(cell) and _status(folder) == "done":
                self._report_initial_policies(cell)

    def _report_initial_policies(self, cell: Cell | None = None) -> None:
        """Says what the initial policy of a `cell` leaves to learn, or what all of them do that are done already."""
        done = _measured_policies(self.suite, self.out)
        for notice in _notices(self.suite, self.out, done if cell is None else [cell]):
            table = ", ".join(filter(None, (notice.env, notice.variant, f"init {notice.init}")))
            self.say(f"{table}: {notice.notice}")
        if len(done) == sum(map(measured, self.suite.cells)):
            answers = {policy.name: read_samples(_folder(self.out, policy) / EVALUATION) for policy in done}
            refuse_without_signal(self.suite, answers)

    def _update_bar(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            self.bar.update(self.progress[cell.name].new_rows())

    def _stop(self) -> None:
        if self.running:
            self.say(f"stopping: {len(self.running)} cells save what they have; Ctrl-C again does not wait")
        for _, process in self.running.values():
            process.terminate()
        for _, process in self.running.values():
            process.join()


class RowCounter:
    """Counts the iterations in a growing `metrics.jsonl`, reading only what has been added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0  # bytes that have been read
        self.rows = -1  # the first row is from before the first iteration

    def new_rows(self) -> int:
        """How many iterations were added since the last call; of a file that was cut, none."""
        if not self.path.exists() or self.path.stat().st_size < self.position:
            return 0
        before = max(0, self.rows)
        with self.path.open("rb") as file:
            file.seek(self.position)
            added = file.read()
        self.position += len(added)
        self.rows += added.count(b"\n")
        return max(0, self.rows) - before


def in_order(cells: Sequence[Cell]) -> list[Cell]:
    """The order in which cells start where not all can: what others wait for, then the longest, then as in the file.

    So the last to end is a short one, and no processor is idle for long at the end of a suite.
    """
    depth: dict[str, int] = {}  # how many cells must be done one after the other before a cell can start
    for cell in cells:
        before = [depth[name] for name in (*cell.needs, *cell.after) if name in depth]  # others are done already
        depth[cell.name] = 1 + max(before, default=-1)
    return sorted(cells, key=lambda cell: (depth[cell.name], -cell.sequences))


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for the children that start inside: cells run side by side, and results do not depend on cores."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C, which a terminal sends to all of them: the scheduler asks them to end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_cell(cell: Cell, cells: Path) -> None:
    """One cell, in its own process. Its end, good or bad, is in `cell.json`; a traceback, if any, in `error.txt`."""
    out = cells / cell.name
    threading.Thread(target=_end_with_parent, daemon=True).start()
    out.mkdir(parents=True, exist_ok=True)
    with owned(out, wait=ORPHAN):  # of a suite that was killed, a cell may still be about to notice
        pass
    try:
        _write_cell(out, cell, "running")
        differing = edited(cell.code, code_of(cell.run).record)
        if differing is not None:
            raise UserError(f"the code has changed since the suite was read: {differing}; run the suite again")
        (out / "error.txt").unlink(missing_ok=True)
        if cell.answers is not None:
            choose(cell.run, out, cells / cell.answers)
        else:
            train(cell.run, out, places={name: cells / name for name in cell.needs}, quiet=True)
        _write_cell(out, cell, "done")
    except KeyboardInterrupt:  # the suite has asked for it, and says what there is to say
        sys.exit(130)
    except Exception as error:  # whatever it was, it is this cell's result and is shown in the report
        replace(out / "error.txt", traceback.format_exc().encode(errors="replace"))
        message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        _write_cell(out, cell, "failed", message)


def _end_with_parent() -> None:
    """Ends this process when its parent is gone, however it went: two suites must never write into one cell."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _data(suite: Suite) -> dict[str, tuple[list[Problem], dict[str, str]]]:
    """What is asked, for the report, as samples hold the ids of problems alone; and the fingerprints of the data."""
    data = {}
    for cell in suite.cells:
        key = _data_key(cell.run)
        if key not in data:
            curriculum, held_out = processes(cell.run)
            problems = list(held_out.task.problems[: cell.run.eval_problems])
            data[key] = problems, fingerprints(cell.run, curriculum, held_out)
    return data


def _data_key(run: RunConfig) -> str:
    """All that decides which problems a run has: equal keys, equal problems."""
    return repr((run.env, sorted(run.env_keys.items()), run.curriculum, run.holdout, run.eval_problems))


def _check_inputs(cell: Cell, out: Path, data: Mapping[str, str]) -> None:
    """Raises `UserError` if what a cell has left was made with other problems or weights than there are now.

    Its name holds its settings and its code, and not what lies in the files that the settings name.
    """
    folder = _folder(out, cell)
    if (folder / RUN).exists():
        check_weights(folder, read_record(folder / RUN), cell.run, weights_of(cell.run, cell.needs))
    if not (folder / MANIFEST).exists():  # nothing was asked yet, or it chooses among the answers of another cell
        return
    split = changed_split(folder, data)
    if split is not None:
        raise UserError(
            f"the problems of {cell.run.env}, split {split}, have changed since cell {cell.name} was run; "
            "choose another --out"
        )


def _write_cell(out: Path, cell: Cell, status: str, error: str | None = None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    summary = read_record(out / SUMMARY) if (out / SUMMARY).exists() else {}
    record = CellRecord(
        agent=cell.agent,
        env=cell.run.env,
        policy=cell.policy,
        init=cell.init,
        variant=cell.variant,
        seed=cell.run.seed,
        hash=cell.name.rpartition("-")[2],
        status=status,
        error=error,
        **{key: summary.get(key, 0) for key in BUDGET},
    )
    write_record(out / CELL, record)


def _measured_policies(suite: Suite, out: Path) -> list[Cell]:
    """The initial policies that are done."""
    return [cell for cell in suite.cells if measured(cell) and _status(_folder(out, cell)) == "done"]


def _notices(suite: Suite, out: Path, policies: Sequence[Cell]) -> list[Notice]:
    """What is said of initial policies, each with the table that it belongs to."""
    notices = [cell_notice(cell, _folder(out, cell), suite.config.ks) for cell in policies]
    return [notice for notice in notices if notice is not None]


def _write_suite(suite: Suite, out: Path, command: str, seconds: float) -> None:
    config = suite.config
    record = SuiteRecord(
        name=suite.name,
        title=config.title or suite.name,
        description=config.description,
        baseline=BASELINE,
        references=REFERENCES,
        command=command,
        ks=config.ks,
        margin=config.margin,
        scale=suite.scale,
        versions=versions(),
        hardware=hardware(),
        seconds=seconds,
        notices=tuple(_notices(suite, out, _measured_policies(suite, out))),
        tuned=config.tuned,
        cells=tuple(cell.name for cell in suite.cells if cell.shown),
    )
    write_record(out / SUITE, record)


def _folder(out: Path, cell: Cell) -> Path:
    return out / "cells" / cell.name


def _status(folder: Path) -> str | None:
    path = folder / CELL
    return str(read_record(path).get("status")) if path.exists() else None


def outcome(cell: Cell, folder: Path) -> str:
    """How a cell went, in one line."""
    label = f"{cell.agent} on {cell.run.env}, seed {cell.run.seed}"
    if _status(folder) != "done":
        return printable(f"{label}: failed; {read_record(folder / CELL).get('error')}")
    summary = read_record(folder / SUMMARY)
    if cell.agent in REFERENCES:
        return f"{label}: reference line, {summary['after']:.3f} of the questions answered right"
    before, after, seconds = (summary[key] for key in ("before", "after", "seconds"))
    steps = ""
    if summary.get("skipped"):
        steps = f"; {summary['skipped']} optimiser steps were not taken, their loss or gradient not being finite"
    return f"{label}: greedy accuracy {before:.3f} -> {after:.3f} in {seconds:.0f} s{steps}"
