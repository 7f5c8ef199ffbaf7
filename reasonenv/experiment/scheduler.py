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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reasonenv.core import Problem
from reasonenv.errors import UserError
from reasonenv.experiment.cells import BASELINE, REFERENCES, Cell
from reasonenv.experiment.claim import RECORD
from reasonenv.experiment.config import Run, fingerprints, held_out_problems, processes
from reasonenv.experiment.identity import code_of, edited
from reasonenv.experiment.manifest import CARD, hardware, stored_data, versions
from reasonenv.experiment.notices import cell_notice, measured, notice, refuse_without_signal
from reasonenv.experiment.stored_baselines import choose
from reasonenv.experiment.suite import Suite
from reasonenv.experiment.train import train
from reasonenv.experiment.weights import check_weights, weights_of
from reasonenv.measures.questions import PROBLEMS, write_questions
from reasonenv.measures.records import BUDGET, CELL, SUITE, CellRecord, Notice, SuiteRecord, write_record
from reasonenv.measures.samples import EVALUATION, read_samples
from reasonenv.storage import owned, read_record, replace
from reasonenv.terminal import printable

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


def run_suite(suite: Suite, out: Path, *, jobs: int, command: str) -> None:
    """Runs the cells that are not done, `jobs` at a time."""
    with working(suite, out) as problems:
        run_cells(suite, out, problems, jobs=jobs, command=command)


@contextmanager
def working(suite: Suite, out: Path) -> Iterator[list[Problem]]:
    """Within it no other process works in the suite's folder. Gives the problems that the suite asks.

    Raises `UserError` for missing data and bad settings, and for cells there that had other data or started from other
    weights, before anything is written.
    """
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
    folders = {cell.name: out / "cells" / cell.name for cell in suite.cells}
    todo = [cell for cell in suite.cells if _status(folders[cell.name]) != "done"]
    if not todo:
        print(f"all {len(suite.cells)} cells of {suite.name} are done; nothing to run")
    earlier = _seconds(out)
    _write_suite(suite, out, command, earlier)
    replace(out / "suite.toml", suite.source)
    write_questions(out / PROBLEMS, problems)
    with tqdm(
        total=sum(c.run.iterations for c in todo), unit=" iterations", dynamic_ncols=True, disable=not todo
    ) as bar:
        look = partial(_look, suite, folders, bar)
        try:
            look()
            _run_cells(todo, folders, jobs, bar, look)
        finally:  # an interrupted suite has used its time too
            _write_suite(suite, out, command, earlier + time.monotonic() - started)


def _look(suite: Suite, folders: Mapping[str, Path], bar: tqdm[Any], cell: Cell | None = None) -> None:
    """Says what the initial policy of a `cell` leaves to learn, or what all of them do that are done already.

    Raises `UserError` as soon as it is known that no agent can learn anything.
    """
    policies = [other for other in suite.cells if measured(other)]
    done = [other for other in policies if _status(folders[other.name]) == "done"]
    for each in done:
        if cell in (None, each) and (told := cell_notice(each, folders[each.name], suite.ks)):
            bar.write(told)
    if len(done) == len(policies):
        answers = {each.name: read_samples(folders[each.name] / EVALUATION) for each in done}
        refuse_without_signal(suite, answers)


def _run_cells(
    cells: Sequence[Cell], folders: Mapping[str, Path], jobs: int, bar: tqdm[Any], look: Callable[[Cell], None]
) -> None:
    """Runs cells in processes of their own. Ctrl-C lets each of them save; a second one leaves at once.

    Every initial policy that has been measured is shown to `look`, before agents start from it.
    """
    running: dict[str, tuple[Cell, Any]] = {}
    try:
        _follow_cells(cells, folders, jobs, bar, look, running)
    except (KeyboardInterrupt, UserError):
        if running:
            bar.write(f"stopping: {len(running)} cells save what they have; Ctrl-C again does not wait")
        for _, child in running.values():
            child.terminate()
        for _, child in running.values():
            child.join()
        raise


def _follow_cells(
    cells: Sequence[Cell],
    folders: Mapping[str, Path],
    jobs: int,
    bar: tqdm[Any],
    look: Callable[[Cell], None],
    running: dict[str, tuple[Cell, Any]],
) -> None:
    """Starts each cell after the one it starts from, keeps in `running` those that are, and moves the bar."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    waiting = in_order(cells)
    seen = {cell.name: _rows(folders[cell.name]) for cell in cells}
    bar.update(sum(seen.values()))
    while waiting or running:
        undone = {cell.name for cell in waiting} | running.keys()
        for cell in [cell for cell in waiting if undone.isdisjoint((*cell.needs, *cell.after))]:
            if len(running) == jobs:
                break
            waiting.remove(cell)
            failed = [name for name in cell.needs if _status(folders[name]) != "done"]
            if failed:
                _write_cell(folders[cell.name], cell, "failed", f"what it starts from has failed: {failed[0]}")
            elif cell.answers is not None:  # a moment's work
                run_cell(cell, folders[cell.name].parent)
            if failed or cell.answers is not None:
                bar.write(_told(cell, folders[cell.name]))
                continue
            child = context.Process(target=run_cell, args=(cell, folders[cell.name].parent), daemon=True)
            with _threads(1), _deaf():
                child.start()
            running[cell.name] = (cell, child)
        time.sleep(0.2)
        for name, (cell, child) in list(running.items()):
            rows = _rows(folders[name])
            bar.update(max(0, rows - seen[name]))
            seen[name] = max(rows, seen[name])
            if not child.is_alive():
                del running[name]
                if child.exitcode:  # it died without a word
                    _write_cell(folders[name], cell, "failed", f"the process ended with exit code {child.exitcode}")
                bar.write(_told(cell, folders[name]))
                if measured(cell) and _status(folders[name]) == "done":
                    look(cell)


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
def _threads(count: int) -> Iterator[None]:
    """One thread for the children that start inside: cells run side by side, and results do not depend on cores."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


@contextmanager
def _deaf() -> Iterator[None]:
    """Children that start inside do not hear Ctrl-C, which a terminal sends to all: the suite asks them to end."""
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
        (out / "error.txt").write_text(traceback.format_exc())
        _write_cell(out, cell, "failed", f"{type(error).__name__}: {error}")


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
            course, held_out = processes(cell.run)
            data[key] = held_out_problems(cell.run, held_out), fingerprints(cell.run, course, held_out)
    return data


def _data_key(run: Run) -> str:
    """All that decides which problems a run has: equal keys, equal problems."""
    return repr((run.env, sorted(run.env_keys.items()), run.curriculum, run.holdout, run.eval_problems))


def _check_inputs(cell: Cell, out: Path, data: Mapping[str, str]) -> None:
    """Raises `UserError` if what a cell has left was made with other problems or weights than there are now.

    Its name holds its settings and its code, and not what lies in the files that the settings name.
    """
    folder = out / "cells" / cell.name
    if (folder / RECORD).exists():
        check_weights(folder, read_record(folder / RECORD), cell.run, weights_of(cell.run, cell.needs))
    if not (folder / CARD).exists():  # nothing was asked yet, or it chooses among the answers of another cell
        return
    stored = stored_data(folder)
    for split, fingerprint in data.items():
        if stored.get(split) != fingerprint:
            raise UserError(
                f"the problems of {cell.run.env}, split {split}, have changed since cell {cell.name} was run; "
                "choose another --out"
            )


def _write_cell(out: Path, cell: Cell, status: str, error: str | None = None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    summary = read_record(out / "summary.json") if (out / "summary.json").exists() else {}
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


def _notices(suite: Suite, out: Path) -> Iterator[Notice]:
    """What is said of the initial policies that are done, each with the table that it belongs to."""
    for cell in filter(measured, suite.cells):
        folder = out / "cells" / cell.name
        text = notice(read_samples(folder / EVALUATION), suite.ks) if _status(folder) == "done" else None
        if text:
            yield Notice(cell.run.env, cell.init, cell.variant, text)


def _write_suite(suite: Suite, out: Path, command: str, seconds: float) -> None:
    record = SuiteRecord(
        name=suite.name,
        title=suite.title,
        description=suite.description,
        baseline=BASELINE,
        references=REFERENCES,
        command=command,
        ks=suite.ks,
        margin=suite.margin,
        scale=suite.scale,
        versions=versions(),
        hardware=hardware(),
        seconds=seconds,
        notices=tuple(_notices(suite, out)),
        tuned=suite.spec.get("tuned"),
        cells=tuple(cell.name for cell in suite.cells if cell.shown),
    )
    write_record(out / SUITE, record)


def _status(folder: Path) -> str | None:
    path = folder / CELL
    return str(read_record(path).get("status")) if path.exists() else None


def _rows(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0


def _seconds(out: Path) -> float:
    path = out / SUITE
    return float(read_record(path).get("seconds", 0.0)) if path.exists() else 0.0


def _told(cell: Cell, folder: Path) -> str:
    label = f"{cell.agent} on {cell.run.env}, seed {cell.run.seed}"
    if _status(folder) != "done":
        return f"{label}: failed; {printable(read_record(folder / CELL)['error'])}"
    summary = read_record(folder / "summary.json")
    if cell.agent in REFERENCES:
        return f"{label}: reference line, {summary['after']:.3f} of the questions answered right"
    before, after, seconds = (summary[key] for key in ("before", "after", "seconds"))
    return f"{label}: greedy accuracy {before:.3f} -> {after:.3f} in {seconds:.0f} s"
