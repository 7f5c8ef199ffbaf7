"""Folders of suites and of single runs as one suite, so that any of them can stand side by side in a report.

Runs are compared if they have the same environment and initial policy and were measured alike. The answers of a run
before its first update are the row of the initial policy.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reasonenv.errors import UserError
from reasonenv.measures.conclusions import listed
from reasonenv.measures.records import BUDGET, SUITE, CellRecord
from reasonenv.measures.samples import read_samples
from reasonenv.report.load import RUN, Cell, Suite, load_cell, load_suite, read_settings
from reasonenv.storage import read_record

INITIAL = "initial"  # the row of the initial policy
MARGIN = 0.02  # differences of runs below it count as none
UNTRAINED = Path("evaluations", "000000.parquet")  # in the folder of a run: greedy answers before the first update
# What decides what is asked, beside the environment. The reward does not: answers are measured by their verdicts.
MEASURED_BY = ("eval_problems", "holdout", "eval_samples")
PROVENANCE = "Settings are those of the runs; of every agent the last iterate is reported, no checkpoint is chosen."


@dataclass(frozen=True)
class _Origin:
    """A cell and the folder that the user has named."""

    cell: Cell
    folder: str


def load_folders(folders: Sequence[Path]) -> Suite:
    """A suite, if there is one folder and it holds one; else all suites and runs in the folders as one.

    Raises `UserError` with a line for every folder that holds neither.
    """
    lines = []
    for folder in folders:
        if not (folder / SUITE).is_file() and not (folder / RUN).is_file():
            lines.append(f"{folder} is not the folder of a suite: it has no {SUITE}; nor of a run: it has no {RUN}")
    if lines:
        raise UserError("\n".join(lines))
    if len(folders) == 1 and (folders[0] / SUITE).is_file():
        return load_suite(folders[0])
    names = Counter(folder.name for folder in folders)
    labels = [folder.name if names[folder.name] == 1 else str(folder) for folder in folders]
    suites, runs, suite_cells = list[Suite](), list[_Origin](), list[_Origin]()
    for folder, label in zip(folders, labels, strict=True):
        if (folder / SUITE).is_file():
            suites.append(load_suite(folder))
            suite_cells += [_Origin(cell, label) for cell in _named_initial(suites[-1])]
        else:
            runs += [_Origin(cell, label) for cell in _run(folder)]
    return _joined(suites, _labelled([*_apart(suite_cells), *_grouped(runs)]), labels)


def _run(folder: Path) -> list[Cell]:
    """A run, and the row of the policy that it started from."""
    path, summary = folder / RUN, {}
    settings = read_settings(path)
    for key in ("agent", "env", "policy", "seed"):
        if key not in settings:
            raise UserError(f"{path}: key {key!r} is missing; give the folder of `reasonenv train`")
    if (folder / "summary.json").is_file():
        summary = read_record(folder / "summary.json")
    record = CellRecord(
        agent=settings["agent"],
        env=settings["env"],
        policy=settings["policy"],
        init="",
        variant="",
        seed=settings["seed"],
        status="done" if summary else "running",
        **{key: summary.get(key, 0) for key in BUDGET},
    )
    cell = load_cell(folder, record)
    if not (folder / UNTRAINED).is_file():
        return [cell]
    samples = read_samples(folder / UNTRAINED)
    nothing: dict[str, Any] = dict.fromkeys(BUDGET, 0)
    empty: dict[str, Any] = dict.fromkeys(("rows", "wins", "base", "training_set", "token_records"), ())
    initial = replace(cell, agent=INITIAL, status="done", samples=samples, **nothing, **empty)
    return [initial, cell]


def _grouped(runs: Sequence[_Origin]) -> list[_Origin]:
    """Runs with what tells their tables apart as the variant of the environment."""
    conditions: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for run in runs:
        conditions[run.cell.env, run.cell.policy].append(_conditions(run.cell))
    grouped, present = [], set()
    for run in runs:
        others = conditions[run.cell.env, run.cell.policy]
        parts = []
        for key, value in _conditions(run.cell).items():
            if any(other.get(key) != value for other in others):
                parts.append(f"{key.removeprefix('env_keys.')} {value}")
        cell = replace(run.cell, variant=", ".join(parts))
        if cell.agent == INITIAL and cell.policy != "tiny":
            cell = replace(cell, seed=0)  # one policy, whatever the seeds of the runs; `tiny` is made from the seed
        place = (cell.setting, cell.seed)
        if cell.agent != INITIAL or place not in present:
            grouped.append(_Origin(cell, run.folder))
        if cell.agent == INITIAL:
            present.add(place)
    return grouped


def _conditions(cell: Cell) -> dict[str, Any]:
    """What is asked and how: runs that agree in it can be compared."""
    conditions = {}
    for key, value in cell.settings.items():
        if key in MEASURED_BY or (key.startswith("env_keys.") and key != "env_keys.reward"):
            conditions[key] = value
    return conditions


def _named_initial(suite: Suite) -> list[Cell]:
    """Its cells; whatever the suite calls the initial policy, the row is `INITIAL`."""
    return [replace(cell, agent=INITIAL) if cell.agent == suite.baseline else cell for cell in suite.cells]


def _apart(cells: Sequence[_Origin]) -> list[_Origin]:
    """Cells of several suites: in one table if they start from the very same initial cell, else in others."""
    starts = {(each.folder, each.cell.setting): each.cell.name for each in cells if each.cell.agent == INITIAL}
    names: dict[tuple[str, ...], set[str | None]] = defaultdict(set)
    for each in cells:
        names[each.cell.setting].add(starts.get((each.folder, each.cell.setting)))
    apart, present = [], set()
    for each in cells:
        cell = each.cell
        if len(names[cell.setting]) > 1:
            cell = replace(cell, init=f"{cell.init} of {each.folder}")
        if (cell.setting, cell.name) not in present:
            apart.append(_Origin(cell, each.folder))
        present.add((cell.setting, cell.name))
    return apart


def _labelled(cells: Sequence[_Origin]) -> list[Cell]:
    """Rows by agent; by agent and folder, where one agent has run with other settings or twice with one seed."""
    rows: dict[tuple[object, ...], list[_Origin]] = defaultdict(list)
    for each in cells:
        rows[each.cell.setting, each.cell.agent].append(each)
    labelled = []
    for row in rows.values():
        seeds = Counter(each.cell.seed for each in row)
        settings = {repr(sorted({**each.cell.settings, "seed": 0}.items())) for each in row}
        collide = len(settings) > 1 or max(seeds.values()) > 1
        for each in row:
            if collide and each.cell.agent != INITIAL:
                labelled.append(replace(each.cell, agent=f"{each.cell.agent} ({each.folder})"))
            else:
                labelled.append(each.cell)
    return labelled


def _joined(suites: Sequence[Suite], cells: Sequence[Cell], labels: Sequence[str]) -> Suite:
    title = listed(labels) if len(labels) <= 3 else f"{len(labels)} folders"
    samples = [cell.settings.get("eval_samples", 0) for cell in cells]
    ks = {2**power for power in range(max(samples, default=0).bit_length())}
    return Suite(
        name="",
        title=title,
        description="",
        baseline=INITIAL,
        references=tuple(dict.fromkeys(_all(suite.references for suite in suites))),
        command="",
        ks=tuple(sorted(ks.union(*(suite.ks for suite in suites)))),
        margin=max((suite.margin for suite in suites), default=MARGIN),
        versions={},
        hardware="",
        seconds=sum(cell.seconds for cell in cells),
        cells=cells,
        questions={},
        provenance=PROVENANCE,
        notices={},
        source="",
    )


def _all(groups: Iterable[Iterable[str]]) -> Iterable[str]:
    for group in groups:
        yield from group
