from __future__ import annotations

import json
from pathlib import Path

import pytest

from reasonenv.experiment import scheduler
from reasonenv.experiment.suite import read_suite

SUITE = """
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0]
[inits.sft]
iterations = 1
[agents.grpo]
iterations = 1
"""


def test_the_time_before_an_interruption_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Twice the suite is stopped, after 10 and after 5 more seconds of a clock that the test sets.
    (tmp_path / "s.toml").write_text(SUITE)
    suite = read_suite(tmp_path / "s.toml")
    clock = [100.0]
    monkeypatch.setattr(scheduler.time, "monotonic", lambda: clock[0])
    (tmp_path / "out").mkdir()
    for lasted, total in ((10.0, 10.0), (5.0, 15.0)):

        def stop(scheduled: object, cells: object, lasted: float = lasted) -> None:
            clock[0] += lasted
            raise KeyboardInterrupt

        monkeypatch.setattr(scheduler.Scheduler, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            scheduler.run_cells(suite, tmp_path / "out", [], jobs=1, command="c")
        assert json.loads((tmp_path / "out" / "suite.json").read_text())["seconds"] == pytest.approx(total)
