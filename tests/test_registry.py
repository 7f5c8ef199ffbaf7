"""What other packages register is found by its name, and not imported before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import reasonenv
from reasonenv.errors import UserError
from reasonenv.registry import load

PLUGIN = """
from reasonenv import from_problems
own = from_problems([("1+1?", "2"), ("2+2?", "4")])
"""
PROGRAM = """
import sys, gymnasium, reasonenv
print("plugged" in sys.modules, "Plugged" in reasonenv.catalog.TASKS)
print(gymnasium.make("reasonenv/Plugged-Token-v0").unwrapped.mdp.task.name)
"""


def test_an_entry_point_of_another_package_is_a_task(tmp_path: Path) -> None:
    (tmp_path / "plugged.py").write_text(PLUGIN)
    info = tmp_path / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[reasonenv.envs]\nPlugged = plugged:own\n")
    program = f"import sys; sys.path.append({str(tmp_path)!r})\n{PROGRAM}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\nOwn\n"


@pytest.mark.parametrize("written", ["./m.py:X", "../here/m.py:X", "m.py:X", ".hidden/m.py:X", "~/here/m.py:X"])
def test_a_path_may_begin_with_dots_or_the_home(written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    for folder in (here, here / ".hidden"):
        folder.mkdir()
        (folder / "m.py").write_text(f"X = {folder.name!r}\n")
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(written) == (".hidden" if "hidden" in written else "here")


@pytest.mark.parametrize("written", [".m:X", "..:X", ":X", "./m:X"])
def test_a_module_does_not_begin_with_a_dot(written: str) -> None:
    with pytest.raises(UserError, match=r"names no module; write module:name or file.py:name"):
        load(written)


@pytest.mark.filterwarnings("error")
def test_a_task_may_be_registered_again_without_a_word() -> None:
    for answer in ("1", "2"):
        reasonenv.register_task("Again", reasonenv.from_problems([("How much?", answer), ("And now?", answer)]))
        problem = gymnasium.make("reasonenv/Again-Step-v0").unwrapped.mdp.problems[0]  # type: ignore[attr-defined]
        assert problem.answer == answer
