"""An old result never stands for other inputs: data, weights, and code that no import statement names."""

from __future__ import annotations

import importlib
import json
import os
import py_compile
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reasonenv.cli import main
from reasonenv.core import Problem
from reasonenv.experiment.config import describe_run
from reasonenv.experiment.identity import code_of, edited
from reasonenv.experiment.processes import processes
from reasonenv.tasks import Task
from reasonenv.version import VERSION

CHAIN = "reasonenv/Chain-Response-v0"
PLUS = "task.py:reasonenv/Plus-Response-v0"
TASK = """
from reasonenv import Problem, Task, register_task
{imports}

def plus(split="train"):
    start = 50 if split == "test" else 10
    problems = [Problem(f"{{split}}/{{n}}", f"{{n}}+1=?", str(n + 1)) for n in range(start, start + 4)]
    return Task("Plus", split, problems, {verify})

register_task("Plus", plus)
""".lstrip()
SHORT = ("max_tokens=24", "eval_problems=2", "problems_per_iteration=2", "--iterations", "1", "--json")
RULES = "def rule(text, problem):\n    return True\n"
WRAP = """
import functools
from reasonenv.verify.grade import verify_math

def judge(rule, text, problem):
    return verify_math(text, problem)

def closure(rule):
    def verify(text, problem):
        return rule and verify_math(text, problem)
    return verify

def decorated(rule):
    @functools.wraps(rule)
    def verify(text, problem):
        return verify_math(text, problem)
    return verify

class Judge:
    def __init__(self, rule):
        self.parts = {"first": [rule]}
        self.itself = self

    def __call__(self, text, problem):
        return verify_math(text, problem)

class Slim(Judge):
    __slots__ = ("parts", "itself")

    def judge(self, text, problem):
        return verify_math(text, problem)
""".lstrip()
SUITE = """
envs = ["reasonenv/GSM8K-Response-v0"]
seeds = [0]
without_signal = true
policy = "POLICY"
keys = { data = "DATA", max_tokens = 16, eval_problems = 2, problems_per_iteration = 2 }
inits.prior = { iterations = 1 }
agents.grpo = { iterations = 1, samples_per_problem = 2 }
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which commands run; it is on the path of modules, before the standard library."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    forget(tmp_path)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], here: Path) -> Callable[..., tuple[int, str]]:
    """Runs a command as a new process would, which reads the user's files again: exit code and stderr."""

    def run(*words: str) -> tuple[int, str]:
        forget(here)
        capsys.readouterr()
        code = main(list(words))
        return code, capsys.readouterr().err

    return run


def forget(here: Path) -> None:
    for name in [n for n, m in sys.modules.items() if str(getattr(m, "__file__", "")).startswith(str(here))]:
        del sys.modules[name]


def write_data(split: str, answers: range) -> None:
    lines = [json.dumps({"question": f"{n}?", "answer": f"It is {n}.\n#### {n}"}) for n in answers]
    Path(f"{split}.jsonl").write_text("\n".join(lines))


def write_task(verify: str, *imports: str) -> None:
    Path("task.py").write_text(TASK.format(imports="\n".join(imports), verify=verify))


def user_files(here: Path, agent: str = "grpo", env: str = PLUS) -> list[str]:
    """The files of a run's code that are not the package's, as a new process sees them."""
    forget(here)
    run = describe_run(agent, env, {})
    course, held_out = processes(run)
    files = code_of(run, course.levels[0].task, held_out.task).files
    return sorted(name for name in files if not name.startswith("reasonenv/"))


def summaries() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_finished_run_does_not_stand_for_other_data(call: Callable[..., Any], here: Path, split: str) -> None:
    words = ("train", "sft", "reasonenv/GSM8K-Response-v0", f"data={here}", *SHORT, "--out", "run")
    write_data("train", range(4))
    write_data("test", range(4, 8))
    assert call(*words)[0] == 0
    assert call(*words)[0] == 0
    write_data(split, range(1, 6))
    before = summaries()
    for option in ((), ("--changed-data",)):  # there is nothing to go on with
        code, err = call(*words, *option)
        assert code == 2
        changed = f"the problems of GSM8K, split {split}, have changed since run was begun"
        assert err == f"reasonenv: {changed}; use another --out\n"
    assert summaries() == before


@pytest.mark.parametrize("hostile", [None, b"[]", b"{}", b'{"data": 1}', b'{"data": {"train": ["x"]}}'])
def test_a_finished_run_that_does_not_say_its_data_is_refused(call: Callable[..., Any], hostile: bytes | None) -> None:
    words = ("train", "sft", CHAIN, "operands=2", "size=8", *SHORT, "--out", "run")
    assert call(*words)[0] == 0
    Path("run/environment.json").unlink()
    if hostile is not None:
        Path("run/environment.json").write_bytes(hostile)
    code, err = call(*words)
    assert (code, err.count("\n")) == (2, 1)


def test_a_suite_never_mixes_two_data_sets(call: Callable[..., Any], here: Path) -> None:
    Path("small.toml").write_text(SUITE.replace("DATA", str(here)).replace("POLICY", "tiny"))
    words = ("bench", "run", "small.toml", "--out", "out", "--jobs", "1")
    write_data("train", range(4))
    write_data("test", range(4, 8))
    assert call(*words)[0] == 0
    (grpo,) = Path("out/cells").glob("grpo*")
    shutil.rmtree(grpo)  # one cell is to be run, beside others that are done
    before = summaries()
    for split, same in (("train", range(4)), ("test", range(4, 8))):
        write_data(split, range(1, 6))
        code, err = call(*words)
        assert (code, err.count("\n")) == (2, 1)
        assert f"split {split}, have changed since cell sft-GSM8K-Response-seed0-" in err
        assert "choose another --out" in err
        write_data(split, same)
    assert summaries() == before
    assert call(*words)[0] == 0
    assert json.loads((grpo / "cell.json").read_text())["status"] == "done"


def retrain(prior: Path, like: Path) -> None:
    """Other weights under the same name: those of `like` with one bit of a weight turned."""
    shutil.rmtree(prior, ignore_errors=True)
    shutil.copytree(like, prior)
    (file,) = [*prior.glob("policy/*.safetensors"), *prior.glob("scorer/model.safetensors")]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_a_run_does_not_stand_for_one_from_other_weights(call: Callable[..., Any], prior: Path) -> None:
    shutil.copytree(prior, "prior")
    words = ("train", "sft", CHAIN, "operands=2", "size=8", *SHORT, "--policy", "prior", "--out", "run")
    assert call(*words)[0] == 0
    assert call(*words)[0] == 0
    retrain(Path("prior"), prior)
    expected = "reasonenv: run holds a run with other weights: policy=prior is not what it was; choose another --out\n"
    assert call(*words) == (2, expected)
    Path("run/summary.json").unlink()  # unfinished
    assert call(*words) == (2, expected)
    shutil.rmtree("prior")
    shutil.copytree(prior, "prior")  # the same weights again, at another time
    assert call(*words)[0] == 0


def test_reward_models_are_weights_of_a_run(call: Callable[..., Any], prior: Path) -> None:
    easy = (CHAIN, "operands=2", "size=8", *SHORT)
    assert call("train", "orm", *easy, "samples_per_problem=2", "--policy", str(prior), "--out", "first")[0] == 0
    for agent, key in (("grpo", "orm"), ("grpo", "rank"), ("rcrl", "labels")):
        shutil.rmtree("judge", ignore_errors=True)
        shutil.copytree("first", "judge")
        words = ("train", agent, *easy, f"{key}=judge", "samples_per_problem=2", "--policy", str(prior), "--out", key)
        assert call(*words)[0] == 0
        assert call(*words)[0] == 0
        retrain(Path("judge"), Path("first"))
        assert f"{key}=judge is not what it was" in call(*words)[1]


def test_a_suite_whose_policy_was_trained_anew_is_refused(call: Callable[..., Any], here: Path, prior: Path) -> None:
    shutil.copytree(prior, "prior")
    Path("small.toml").write_text(SUITE.replace("DATA", str(here)).replace("POLICY", "prior"))
    words = ("bench", "run", "small.toml", "--out", "out", "--jobs", "1")
    write_data("train", range(4))
    write_data("test", range(4, 8))
    assert call(*words)[0] == 0
    assert call(*words)[0] == 0
    retrain(Path("prior"), prior)
    before = summaries()
    code, err = call(*words)
    assert (code, err.count("\n")) == (2, 1)
    assert "policy=prior is not what it was; choose another --out" in err
    assert summaries() == before


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize(
    "load",
    [
        'importlib.import_module("dyn")',
        '__import__("dyn")',
        'importlib.import_module("".join(["d", "yn"]))',  # in no text
    ],
)
def test_a_module_that_is_imported_by_name_is_code(here: Path, load: str) -> None:
    Path("dyn.py").write_text("from reasonenv.verify.grade import verify_math\n")
    write_task("dyn.verify_math", "import importlib", f"dyn = {load}")
    assert user_files(here) == ["dyn.py", "task.py"]


@pytest.mark.usefixtures("own_registry")
def test_a_module_that_is_imported_by_name_when_it_is_called_is_code(here: Path) -> None:
    Path("dyn.py").write_text("")
    write_task("verify", "import importlib", "def verify(text, problem):", '    importlib.import_module("dyn")')
    assert user_files(here) == ["dyn.py", "task.py"]


@pytest.mark.usefixtures("own_registry")
def test_a_file_named_like_a_standard_module_is_code(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It is imported when it is called, so its name alone leads to it; the other modules are Python's.
    Path("trace.py").write_text("")
    write_task("verify", "def verify(text, problem):", "    import trace, json, os, sys, math")
    monkeypatch.delitem(sys.modules, "trace", raising=False)
    assert user_files(here) == ["task.py", "trace.py"]


@pytest.mark.usefixtures("own_registry")
def test_what_another_agent_imports_is_not_code_of_a_run(here: Path) -> None:
    # whichever was loaded first in this process: the name of a suite's cell depends on its own code
    for name in ("one", "two"):
        Path(f"{name}_helper.py").write_text("")
        text = f"import {name}_helper\nfrom reasonenv.agents.grpo import GRPO\nclass Agent(GRPO): pass\n"
        Path(f"{name}.py").write_text(text)
    runs = [describe_run(f"{name}.py:Agent", CHAIN, {}) for name in ("one", "two")]
    for run, name in zip(runs, ("one", "two"), strict=True):
        files = {file for file in code_of(run).files if not file.startswith("reasonenv/")}
        assert files == {f"{name}.py", f"{name}_helper.py"}


def test_a_cell_needs_the_same_files_and_not_the_same_neighbours() -> None:
    # the process that reads a suite has loaded the agents of all cells, that of a cell only its own
    read: dict[str, Any] = {"reasonenv": VERSION, "files": {"mine.py": "1", "beside.py": "2"}}
    assert edited(read, {"reasonenv": VERSION, "files": {"mine.py": "1"}}) is None
    assert edited(read, {"reasonenv": VERSION, "files": {"mine.py": "3"}}) == "mine.py is not what it was"
    assert edited(read, {"reasonenv": "0", "files": {"mine.py": "1"}}) == f"reasonenv was {VERSION} and is 0"


@pytest.mark.parametrize(
    "verify",
    [
        "functools.partial(wrap.judge, rules.rule)",
        "functools.partial(wrap.judge, rule=rules.rule)",
        "functools.partial(wrap.judge, [rules.rule])",
        "functools.lru_cache(functools.partial(wrap.judge, rules.rule))",
        "wrap.closure(rules.rule)",
        "wrap.decorated(rules.rule)",
        "wrap.Judge(rules.rule)",
        "wrap.Judge(rules.rule).__call__",
        "wrap.Slim(rules.rule).judge",
    ],
)
def test_what_a_verifier_holds_is_code(here: Path, monkeypatch: pytest.MonkeyPatch, verify: str) -> None:
    # Neither file imports the other or lies beside it: an object alone leads from the wrapper to the rule.
    for name, text in (("rules", RULES), ("wrap", WRAP)):
        (here / name).mkdir()
        (here / name / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(here / name)
    parts = {name: importlib.import_module(name) for name in ("functools", "rules", "wrap")}
    task = Task("Held", "test", [Problem("1", "1+1=?", "2")], eval(verify, parts))
    files = code_of(describe_run("grpo", CHAIN, {}), task).files
    assert {name: files.get(name) for name in ("rules.py", "wrap.py")} == {
        "rules.py": RULES.encode(),
        "wrap.py": WRAP.encode(),
    }


@pytest.mark.usefixtures("own_registry")
def test_a_helper_runs_as_it_is_recorded_whatever_was_compiled_before(here: Path, call: Callable[..., Any]) -> None:
    # Same size and same second, by which Python knows a compiled copy.
    helper = Path("helper.py")
    for right in ("True ", "False"):
        helper.write_text(f"RIGHT = {right}\n")
        os.utime(helper, (1, 1))
        if right == "True ":
            py_compile.compile(str(helper))
        forget(here)
        write_task("verify_math", "import helper", "from reasonenv.verify.grade import verify_math")
        run = describe_run("grpo", PLUS, {})
        assert code_of(run).files["helper.py"] == helper.read_bytes()
        assert sys.modules["helper"].RIGHT is (right == "True ")
