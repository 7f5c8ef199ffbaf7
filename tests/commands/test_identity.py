"""A run knows its code and all its settings: what has changed is refused by name, and told by `diff`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.cli import main
from reasonenv.errors import UserError
from reasonenv.experiment.config import describe_run
from reasonenv.experiment.identity import _label, code_of
from reasonenv.experiment.scheduler import run_cell
from reasonenv.experiment.suite import read_suite
from reasonenv.registry import load

CHAIN = "reasonenv/Chain-Response-v0"
AGENT = '''
"""Rewards as they are."""
import os, signal
from pathlib import Path
from reasonenv.agents.grpo import GRPO

class Mine(GRPO):
    def learn(self, groups, budget, observer):
        if budget.iteration == 1 and Path("interrupt").exists():
            os.kill(os.getpid(), signal.SIGINT)
        return super().learn(groups, budget)

    def advantage(self, batch):
        return batch.rewards.sum(dim=1, keepdim=True)
'''.lstrip()
OTHER = AGENT.replace("keepdim=True)", "keepdim=True) * -100")
TASK = """
from grading import verify
from reasonenv import Problem, Task, register_task

def plus(split="train"):
    start = 50 if split == "test" else 10
    problems = [Problem(f"{split}/{n}", f"{n}+1=?", str(n + 1)) for n in range(start, start + 4)]
    return Task("Plus", split, problems, verify)

register_task("Plus", plus)
""".lstrip()
GRADING = """
from reasonenv.verify.grade import verify_math

def verify(text, problem):
    import helpers.numbers
    return verify_math(text, problem)
""".lstrip()
BY_PYTHONS_OWN_LOADER = """
import importlib.util, sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("fleeting", Path(__file__).with_name("fleeting.py"))
sys.modules["fleeting"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["fleeting"])
""".lstrip()
SMALL = (
    *("operands=2", "operators=+", "size=16", "max_tokens=16", "eval_problems=4"),
    *("problems_per_iteration=2", "samples_per_problem=2", "--iterations", "3"),
)
SUITE = """
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0]
without_signal = true
keys = { operands = 2, operators = "+", size = 16, max_tokens = 16, eval_problems = 4, problems_per_iteration = 2 }
inits.prior = { iterations = 1 }
agents."FOLDER/mine.py:Mine" = { iterations = 1, samples_per_problem = 2 }
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `mine.py`, in which commands run."""
    (tmp_path / "mine.py").write_text(AGENT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*options: str, out: str = "run") -> tuple[str, ...]:
    return ("train", "mine.py:Mine", CHAIN, *SMALL, "--out", out, *options)


def record(out: str = "run") -> dict[str, Any]:
    read: dict[str, Any] = json.loads((Path(out) / "run.json").read_text())
    return read


@pytest.mark.parametrize("edited", [OTHER, AGENT.replace("as they are", "as they come")], ids=["code", "docstring"])
def test_a_finished_run_of_other_code_is_refused_and_not_shown(call: Callable[..., Any], edited: str) -> None:
    assert call(*train("--json"))[0] == 0
    assert call(*train("--json"))[0] == 0  # the same bytes are the same run
    Path("mine.py").write_text(edited)
    for option in ((), ("--changed-code",)):  # there is nothing to go on with
        code, out, err = call(*train("--json", *option))
        assert (code, out) == (2, "")
        assert (
            err
            == "reasonenv: run holds a finished run of other code: mine.py is not what it was; choose another --out\n"
        )


def test_other_code_in_the_middle_of_a_run_is_refused_unless_that_is_meant(call: Callable[..., Any]) -> None:
    Path("interrupt").touch()
    assert call(*train("--json"))[0] == 130
    Path("interrupt").unlink()
    first = record()["code"]
    Path("mine.py").write_text(OTHER)
    code, out, err = call(*train("--json"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "run was begun with other code: mine.py is not what it was; choose another --out, or go on by" in err
    assert call(*train("--json", "--changed-code"))[0] == 0
    assert record()["earlier_code"] == [first]
    assert record()["code"] != first
    assert Path("run/code/mine.py").read_text() == OTHER
    assert Path("run/code-1/mine.py").read_text() == AGENT
    assert call(*train("--json"))[0] == 0  # it is the run of this code now


def test_a_kill_while_other_code_is_recorded_loses_no_copy(call: Callable[..., Any]) -> None:
    Path("interrupt").touch()
    assert call(*train("--json"))[0] == 130
    Path("interrupt").unlink()
    Path("run/code").rename("run/code-1")  # as far as it came; the record is still the old one
    Path("mine.py").write_text(OTHER)
    assert call(*train("--json", "--changed-code"))[0] == 0
    assert Path("run/code-1/mine.py").read_text() == AGENT
    assert Path("run/code/mine.py").read_text() == OTHER


def test_diff_names_the_file_and_its_first_line_that_differs(call: Callable[..., Any]) -> None:
    assert call(*train("--json"))[0] == 0
    Path("mine.py").write_text(OTHER)
    assert call(*train("--json", out="other"))[0] == 0
    told = call("diff", "run", "other")[1].splitlines()
    line = 1 + AGENT.splitlines().index("        return batch.rewards.sum(dim=1, keepdim=True)")
    assert told[:3] == [
        f"code: mine.py differs from line {line} on",
        "  '        return batch.rewards.sum(dim=1, keepdim=True)'",
        "  '        return batch.rewards.sum(dim=1, keepdim=True) * -100'",
    ]
    Path("secret").write_text("of another user")
    Path("other/code/mine.py").unlink()
    Path("other/code/mine.py").symlink_to(Path("secret").resolve())
    told = call("diff", "run", "other")[1]
    assert "code: mine.py is a part of run alone" in told
    assert "of another user" not in told


@pytest.mark.parametrize("hostile", [None, [], "x", {"files": []}, {"files": {"../../secret": "0" * 64}}])
def test_a_folder_that_does_not_say_its_code_is_refused(call: Callable[..., Any], hostile: Any) -> None:
    assert call(*train("--json"))[0] == 0
    Path("run/run.json").write_text(json.dumps({**record(), "code": hostile}))
    code, _, err = call(*train("--json"))
    assert (code, err.count("\n")) == (2, 1)
    assert "of other code" in err


def test_another_version_of_the_package_is_other_code(call: Callable[..., Any]) -> None:
    assert call(*train("--json"))[0] == 0
    older = {**record(), "code": {**record()["code"], "reasonenv": "0.0.1"}}
    Path("run/run.json").write_text(json.dumps(older))
    assert "reasonenv was 0.0.1 and is " in call(*train("--json"))[2]
    assert call("compare", "run", "run")[0] == 0  # what it found can still be read


@pytest.mark.usefixtures("own_registry")
def test_verifier_and_helpers_of_a_task_are_its_code(
    call: Callable[..., Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(here)
    (here / "helpers").mkdir()
    texts = {"task.py": TASK, "grading.py": GRADING, "helpers/__init__.py": "", "helpers/numbers.py": ""}
    for name, text in texts.items():
        (here / name).write_text(text)
    env = "task.py:reasonenv/Plus-Response-v0"
    words = ("train", "grpo", env, *SMALL[4:], "max_tokens=8", "--out", "run", "--json")
    assert call(*words)[0] == 0
    names = ["grading.py", "helpers/__init__.py", "helpers/numbers.py", "reasonenv/agents/grpo.py", "task.py"]
    assert sorted(record()["code"]["files"]) == names
    assert sorted(p.relative_to("run/code").as_posix() for p in Path("run/code").rglob("*.py")) == names
    (here / "helpers" / "numbers.py").write_text("ONE = 1\n")  # imported in a function, when it is called
    assert "helpers/numbers.py is not what it was" in call(*words)[2]
    (here / "helpers" / "numbers.py").write_text("")
    (here / "helpers" / "more.py").write_text("")
    (here / "grading.py").write_text(GRADING.replace("import helpers.numbers", "from helpers import more"))
    assert "grading.py is not what it was" in call(*words)[2]


@pytest.mark.usefixtures("own_registry")
def test_a_source_that_is_gone_or_never_was_is_one_line(
    call: Callable[..., Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(here)
    (here / "fleeting.py").write_text("import os\nos.unlink(__file__)\n")
    (here / "mine.py").write_text(f"{BY_PYTHONS_OWN_LOADER}import fleeting\n{AGENT}")
    code, _, err = call(*train("--json"))
    assert (code, err.count("\n")) == (2, 1)
    assert f"{here / 'fleeting.py'} is no file any more; put it back" in err
    assert not Path("run").exists()
    (here / "mine.py").write_text(f"{AGENT}\nMine.__module__ = 'nowhere'\n")
    assert "module 'nowhere' is defined in no file, so its code cannot be known" in call(*train("--json"))[2]


def test_a_file_edited_within_a_moment_is_read_anew(here: Path, call: Callable[..., Any]) -> None:
    # same size and same time, by which a compiled copy is known
    for text in ("ANSWER = 1\n", "ANSWER = 2\n"):
        (here / "quick.py").write_text(text)
        os.utime(here / "quick.py", (1, 1))
        sys.modules.pop(str(here / "quick.py"), None)
        assert load("quick.py:ANSWER") == int(text[-2])


@given(st.lists(st.sampled_from(["a.b", "a", "__main__", "..", "/x/mine.py", "/y/mine.py", "c./../d"]), max_size=7))
def test_copies_stay_in_their_folder_and_never_share_a_name(modules: list[str]) -> None:
    taken: dict[str, Path] = {}
    paths = [Path(f"/{number}/x/mine.py") for number, _ in enumerate(modules)]
    for module, path in zip(modules, paths, strict=True):
        taken[_label(module, path, taken)] = path
    assert len(taken) == len(modules)
    assert not any(label.startswith("/") or ".." in label.split("/") for label in taken)


def test_a_setting_that_is_given_as_it_is_by_default_is_the_same_run(call: Callable[..., Any]) -> None:
    assert call(*train("--json"))[0] == 0
    lr, dtype = record()["agent_keys"]["lr"], record()["dtype"]
    digits = record()["env_keys"]["digits"]
    assert record()["env_keys"].items() >= {"reward": "sparse", "stochastic": None, "operands": 2}.items()
    assert call(*train("--json", f"lr={lr}", f"dtype={dtype}", f"digits={digits}"))[0] == 0


def test_a_default_that_has_changed_since_is_another_setting(call: Callable[..., Any]) -> None:
    assert call(*train("--json"))[0] == 0
    lr = record()["agent_keys"]["lr"]
    older = {**record(), "agent_keys": {**record()["agent_keys"], "lr": 0.5}}  # as another version had it
    Path("run/run.json").write_text(json.dumps(older))
    assert f"run holds another run, settings differ: lr is 0.5 there, {lr} here" in call(*train("--json"))[2]


def test_a_suite_never_mixes_two_codes_in_a_row(here: Path) -> None:
    (here / "small.toml").write_text(SUITE.replace("FOLDER", str(here)))

    def cells() -> tuple[list[str], list[str]]:
        """The cell of `mine.py` among the rows of the suite, and those on the disk."""
        sys.modules.pop(str(here / "mine.py"), None)
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(["bench", "run", "small.toml", "--out", "out", "--jobs", "1"]) == 0
        rows = [name for name in json.loads(Path("out/suite.json").read_text())["cells"] if "Mine" in name]
        return rows, sorted(path.name for path in Path("out/cells").glob("*Mine*"))

    (first,), _ = cells()
    assert cells() == ([first], [first])
    (here / "mine.py").write_text(OTHER)
    (second,), disk = cells()
    assert first != second
    assert disk == sorted([first, second])
    assert json.loads(Path(f"out/cells/{first}/cell.json").read_text())["status"] == "done"


def test_a_cell_whose_code_changed_while_the_suite_ran_fails(here: Path) -> None:
    (here / "small.toml").write_text(SUITE.replace("FOLDER", str(here)))
    cell = next(c for c in read_suite(here / "small.toml").cells if "Mine" in c.name)
    stale = replace(cell, code={**cell.code, "files": {**cell.code["files"], "mine.py": "0" * 64}})
    run_cell(stale, here / "cells")
    told = json.loads((here / "cells" / stale.name / "cell.json").read_text())
    assert told["status"] == "failed"
    assert "the code has changed since the suite was read: mine.py is not what it was" in told["error"]


def test_what_an_agent_inherits_is_its_code_and_the_framework_is_not() -> None:
    run = describe_run("grpo_process", CHAIN, {"reward": "dense", "stochastic": "sticky:0.1"})
    names = {"reasonenv/agents/grpo_process.py", "reasonenv/agents/grpo.py", "reasonenv/envs/chain.py"}
    assert set(code_of(run).files) == names
    with pytest.raises(UserError, match="unknown reward"):
        code_of(replace(run, env_keys={"reward": "nothing"}))


REWARD = """
from reasonenv.mdp.rewards import at_end

@at_end
def brevity(problem, before, after):
    return float(after.over and after.length < 9)
""".lstrip()
DYNAMICS = """
from reasonenv.mdp.dynamics import Dynamics

class Space(Dynamics):
    meaning = "the probability of a space before the first token"

    def reply(self, view):
        return [] if view.state.tokens or not self.happens(view.state) else self.tokenizer.encode(" ")
""".lstrip()


def test_a_reward_and_dynamics_of_a_user_are_named_by_their_files_and_are_code_of_the_run(
    call: Callable[..., Any],
) -> None:
    Path("reward.py").write_text(REWARD)
    Path("dynamics.py").write_text(DYNAMICS)
    words = train("--json", "reward=sparse+reward.py:brevity", "stochastic=dynamics.py:Space:1")
    assert call(*words)[0] == 0
    assert {"mine.py", "reward.py", "dynamics.py"} <= record()["code"]["files"].keys()
    assert record()["env_keys"]["stochastic"] == "dynamics.py:Space:1"
    assert Path("run/code/reward.py").read_text() == REWARD
    Path("dynamics.py").write_text(DYNAMICS.replace('" ")', '"  ")'))
    assert "dynamics.py is not what it was" in call(*words)[2]
    code, _, err = call(*train("--json", "stochastic=dynamics.py:Space", out="other"))
    assert code == 2
    assert "write dynamics.py:Space:NUMBER, the probability of a space before the first token, from 0 to 1" in err


SAMPLER = """
from reasonenv.sampling.torch.torch_sampler import TorchSampler

class Hurried(TorchSampler):
    reproducibility = ("fast", "it draws in any order")
"""


def test_a_sampler_of_a_user_is_code_of_the_run_and_says_how_reproducible_it_is(call: Callable[..., Any]) -> None:
    Path("sampler.py").write_text(SAMPLER)
    words = train("sampler=sampler.py:Hurried")
    code, out, _ = call(*words)
    assert code == 0
    assert "reproducibility: fast (it draws in any order)" in out
    assert "sampler.py" in record()["code"]["files"]
    Path("sampler.py").write_text(SAMPLER.replace("any", "some"))
    assert "sampler.py is not what it was" in call(*words)[2]
    code, _, err = call(*train("sampler=mine.py:Mine", out="other"))  # an agent
    assert code == 2
    assert "it must be a class derived from reasonenv.sampling.sampler.Sampler" in err
