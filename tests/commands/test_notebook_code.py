"""What was typed into a notebook is a part of a run by the text of its definition."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

# As an interpreter runs cells: each is compiled under a name of its own, by which `linecache` has its text.
CELLS = """
import linecache, sys

def cell(number, source):
    name = f"<cell {number}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), vars(sys.modules["__main__"]))

for number, source in enumerate(SOURCES):
    cell(number, source)
"""
IMPORTS = "import reasonenv, rules\nfrom reasonenv.agents.grpo import GRPO\n"
REWARD = "SHARE = 0.5\ndef half(*_):\n    return SHARE\ndef bonus(*states):\n    return half() * rules.FACTOR\n"
AGENT = "class Careful(GRPO):\n    def advantage(self, batch):\n        return super().advantage(batch)\n"
TRAIN = (
    "run = reasonenv.train(Careful, 'reasonenv/Chain-Response-v0', out='run', reward=['sparse', bonus], iterations=1,"
    " operands=2, max_tokens=4, eval_problems=2, problems_per_iteration=2, samples_per_problem=2, quiet=True)\n"
)


def typed(folder: Path, *sources: str) -> str:
    """Runs cells in a new interpreter and returns the last line of its complaints."""
    program = f"SOURCES = {sources!r}\n{CELLS}"
    environment = {
        key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"
    }  # the cells' folder is on it
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2]


def test_functions_and_classes_of_cells_are_the_code_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text("FACTOR = 2\n")
    assert typed(tmp_path, IMPORTS, REWARD, AGENT, TRAIN) == ""
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["agent"], record["env_keys"]["reward"]) == ("Careful", "sparse+bonus")
    labels = {"typed/Careful.py", "typed/bonus.py", "typed/half.py", "rules.py", "reasonenv/agents/grpo.py"}
    assert labels <= set(record["code"]["files"])
    code = tmp_path / "run" / "code" / "typed"
    assert (code / "half.py").read_text() == "def half(*_):\n    return SHARE\nSHARE = 0.5\n"
    assert (code / "Careful.py").read_text() == AGENT
    # other cells, other calls in a cell: the same code
    assert typed(tmp_path, IMPORTS, "x = 1\n" + AGENT, REWARD + "\ny = bonus()\n", TRAIN) == ""


def test_an_edited_cell_is_other_code(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text("FACTOR = 2\n")
    assert typed(tmp_path, IMPORTS, REWARD, AGENT, TRAIN) == ""
    edits = {
        "typed/bonus.py": REWARD.replace("half() *", "half() +"),
        "typed/half.py": REWARD.replace("0.5", "0.25"),
    }
    for label, reward in edits.items():
        assert f"holds a finished run of other code: {label} is not what it was" in typed(
            tmp_path, IMPORTS, reward, AGENT, TRAIN
        )
    (tmp_path / "rules.py").write_text("FACTOR = 3\n")
    assert "rules.py is not what it was" in typed(tmp_path, IMPORTS, REWARD, AGENT, TRAIN)


def test_a_finished_run_may_grow_with_other_code_where_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text("FACTOR = 2\n")
    assert typed(tmp_path, IMPORTS, REWARD, AGENT, TRAIN) == ""
    edited, longer = REWARD.replace("0.5", "0.25"), TRAIN.replace("iterations=1", "iterations=2")
    assert "go on by --changed-code" in typed(tmp_path, IMPORTS, edited, AGENT, longer)
    assert typed(tmp_path, IMPORTS, edited, AGENT, longer.replace("quiet=True", "quiet=True, changed_code=True")) == ""
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(record["earlier_code"]) == 1
    assert (tmp_path / "run" / "code-1" / "typed" / "half.py").read_text().endswith("SHARE = 0.5\n")


def test_what_has_no_text_is_refused(tmp_path: Path) -> None:
    made = "exec('def bonus(*_): return 1.0')\n"
    assert "the code of bonus cannot be known" in typed(tmp_path, IMPORTS.replace(", rules", ""), AGENT, made, TRAIN)
    assert not (tmp_path / "run").exists()
