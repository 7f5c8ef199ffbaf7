"""Chooses settings of a suite's agents on validation problems, with equally many trials of every agent.

Every agent is run with every combination of the values in the suite's table [tune], from initial policies that have not
seen the validation problems either. Of each agent the values with the highest greedy accuracy are taken: the mean over
environments, variants, initial policies and the seeds of the trials; of equal ones the first.

DIR/trials/         the folder of a suite of trials
DIR/suite.toml      the suite with what was chosen, and the record of it as its table [tuned]; see `provenance.py`
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from statistics import fmean

from reasonenv.errors import UserError
from reasonenv.experiment.cells import Cell, cells_from
from reasonenv.experiment.scheduler import run_cells, working
from reasonenv.experiment.suite import Suite, check_cells
from reasonenv.experiment.suite_config import SuiteConfig
from reasonenv.measures.records import CELL, SUITE
from reasonenv.measures.samples import EVALUATION, read_samples
from reasonenv.stats import Accuracy, accuracy
from reasonenv.storage import check_writable, make_folder, read_record
from reasonenv.storage import replace as write
from reasonenv.tasks import VALIDATION

NEVER = 10**9  # iterations between evaluations: trials are measured at their ends
COMMENT = "# Written by `reasonenv bench tune`: the settings that it chose, and in [tuned] the record of how it did.\n"


def tune(suite: Suite, out: Path, *, jobs: int, command: str) -> Path:
    """Runs the trials that are not done, and leaves the tuned suite in `out`. Returns its path.

    Raises `UserError` for a suite without a table [tune], and if a trial fails: every agent has equally many or none.
    """
    if (out / SUITE).exists():
        raise UserError(f"{out} is the folder of a suite that was run; choose another --out")
    trials = trials_of(suite)
    folder = out / "trials"
    check_writable(out)
    make_folder(folder)
    with working(trials, folder) as problems:
        run_cells(trials, folder, problems, jobs=jobs, command=command)
        tuned = _tuned(suite, trials, folder)
    path = out / "suite.toml"
    write(path, COMMENT + tuned.to_toml())
    return path


def trials_of(suite: Suite) -> Suite:
    """The trials as a suite. Raises `UserError` for one that cannot be."""
    config = suite.config
    tuning = config.tuning()
    if tuning is None:
        example = "tune = { lr = [1e-4, 3e-4, 1e-3], seeds = [100] }"
        raise UserError(f"suite {suite.name} has no table [tune]; add one, such as {example}")
    agents = {}
    for label in config.agents:
        kind, settings = config.agent(label)
        for number, values in enumerate(tuning.trials):
            agents[_label(label, number)] = {"agent": kind, **settings, **values, "eval_every": NEVER}
    keys = {**config.keys, "holdout": VALIDATION}
    if tuning.problems is not None:
        keys["eval_problems"] = tuning.problems
    inits = {name: {**settings, "eval_every": NEVER} for name, settings in config.inits.items()}
    title = config.title or suite.name
    config = replace(config, title=title, agents=agents, keys=keys, inits=inits, seeds=tuning.seeds, ks=(1,))
    cells: list[Cell] = []
    for env in config.envs:
        for init in inits:
            cells.extend(cells_from(config, env, init, samples=0))
    check_cells(cells)
    return replace(suite, name=f"the trials of {suite.name}", config=config, cells=tuple(cells))


def _label(label: str, number: int) -> str:
    """The agent of a trial."""
    return f"{label}, trial {number + 1}"


def _tuned(suite: Suite, trials: Suite, folder: Path) -> SuiteConfig:
    """The suite with what the trials say is best, and the record of that."""
    tuning = suite.config.tuning()
    assert tuning is not None, "there are trials"
    outcomes: dict[str, list[Accuracy]] = {}  # agent of a trial -> the greedy accuracy of each of its cells
    for cell in trials.cells:
        record = read_record(folder / "cells" / cell.name / CELL)
        if record.get("status") != "done":
            raise UserError(
                f"{cell.agent} has failed ({record.get('error')}); mend that and run the same command again"
            )
        samples = read_samples(folder / "cells" / cell.name / EVALUATION)
        outcomes.setdefault(cell.agent, []).append(accuracy(sample for sample in samples if sample.greedy))
    agents, record = {}, {}
    for label, settings in suite.config.agents.items():
        tried = []
        for number, values in enumerate(tuning.trials):
            accuracies = [seed.value for seed in outcomes[_label(label, number)]]
            tried.append({**values, "accuracy": fmean(accuracies)})
        scores = [trial["accuracy"] for trial in tried]
        chosen = tuning.trials[scores.index(max(scores))]
        agents[label] = {**settings, **chosen}
        record[label] = {"chosen": dict(chosen), "tried": tried}
    table = {
        "split": VALIDATION,
        "problems": min(seed.total for seed in chain.from_iterable(outcomes.values())),
        "keys": tuning.keys,
        "seeds": list(tuning.seeds),
        "trials": len(tuning.trials) * len(tuning.seeds),
        "agents": record,
    }
    return replace(suite.config, agents=agents, tuned=table, tune=None)
