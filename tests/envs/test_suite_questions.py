"""No packaged suite asks a question twice, neither of those that train nor of those that measure."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from reasonenv.experiment.config import RunConfig
from reasonenv.experiment.processes import processes
from reasonenv.experiment.suite import read_suite, suite_path, suites

SCALES = [(name, scale) for name in suites() for scale in tomllib.loads(suite_path(name).read_text())["scales"]]


def runs(name: str, scale: str) -> list[RunConfig]:
    """One run for each set of problems that the suite asks for."""
    different = {}
    for cell in read_suite(suite_path(name), scale).cells:
        run = cell.run
        different[run.env, repr(sorted(run.env_keys.items())), run.curriculum, run.eval_problems] = run
    return list(different.values())


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_no_suite_asks_a_question_twice(
    name: str, scale: str, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REASONENV_DATA", str(data_folder))
    for run in runs(name, scale):
        curriculum, held_out = processes(run)
        levels = dict.fromkeys(curriculum.levels)  # one that comes again is the same process
        trained = [problem.question for level in levels for problem in level.problems]
        problems = held_out.task.problems
        measured = [problems[i].question for i in range(min(run.eval_problems, len(problems)))]
        for questions in (trained, measured):
            assert len(set(questions)) == len(questions)
        assert not set(trained) & set(measured)
        if "Chain" in run.env:  # a real data set has as many as it has
            assert len(measured) == run.eval_problems
        if "size" in run.env_keys:
            assert len(trained) == run.env_keys["size"]
