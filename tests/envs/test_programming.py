"""Programs by unit tests: problems made here and in the published forms, and what decides a verdict is in the hash."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reasonenv.catalog import make_task
from reasonenv.core import Problem, Reason
from reasonenv.data.files import VARIABLE
from reasonenv.envs.programming import MBPP_IDS
from reasonenv.errors import UserError
from reasonenv.mdp.make import make_env
from reasonenv.tasks import reference_solution
from reasonenv.verify.sandbox.unit_tests import UnitTests


def test_a_made_problem_asks_what_its_program_does() -> None:
    for operations in (1, 3, 6):
        for problem in make_task("Code", size=20, operations=operations).problems:
            asked = problem.question.split("\n")[1:]
            lines = problem.answer.split("\n")[1:]
            assert len(asked) == len(lines) == operations + 1
            for text, line in zip(asked, lines, strict=True):  # the number that is asked for is the number that is used
                assert set(re.findall("[2-9]", text.partition(". ")[2])) <= set(line)
            assert problem.meta["tests"].asserts[0].startswith("assert solve([]) == ")


def test_the_budget_holds_every_reference_solution() -> None:
    for operations in range(1, 7):
        task = make_task("Code", operations=operations)
        longest = max(len(reference_solution(problem)) for problem in task.problems[:300])
        assert longest < task.max_tokens


def test_problems_are_a_function_of_seed_split_and_index() -> None:
    def made(**knobs: Any) -> list[Problem]:
        return list(make_task("Code", **knobs).problems)

    assert made(size=5)[:3] == made(size=3)
    assert made(size=3) != made(size=3, seed=1)
    assert not {p.question for p in made(size=300)} & {p.question for p in made(size=100, split="test")}
    for knobs in ({"operations": 0}, {"operations": 7}, {"split": "tests"}):
        with pytest.raises(UserError):
            make_task("Code", **knobs)


def test_a_response_is_judged_by_what_its_program_does() -> None:
    env = make_env("Code", "response", size=1)
    env.reset(options={"problem": 0})
    (problem,) = env.mdp.task.problems
    other = problem.answer.replace("xs", "numbers")  # another text of the same function
    for text, reason in (
        (f"So:\n```python\n{other}\n```\nThat is all.", Reason.CORRECT),
        (f"```python\n{other}\n    pass\n```\nor\n```\ndef solve(xs): return None\n```", Reason.WRONG),
        (other, Reason.CORRECT),
        ("Return the numbers, solved.", Reason.NO_ANSWER),
        ("```python\nand then we return\n```", Reason.UNPARSABLE_ANSWER),
    ):
        env.reset(options={"problem": 0})
        *_, info = env.step(env.mdp.tokenizer.encode(text))
        assert info["verdict"].reason is reason, text


def test_published_records_become_problems(sample_data: Path) -> None:
    every = make_task("HumanEval", data=sample_data, split="all").problems
    assert [p.id for p in every] == [f"humaneval/HumanEval/{n}" for n in range(12)]
    assert every[3].answer == 'def plus_3(x):\n    """x + 3"""\n    # as told\n    return x + 3'
    assert every[3].question.startswith("Complete:\ndef plus_3(x):")
    parts = [make_task("HumanEval", data=sample_data, split=split).problems for split in ("train", "test")]
    assert all(parts)
    assert sorted(p.id for part in parts for p in part) == sorted(p.id for p in every)
    ids = {
        split: [p.id for p in make_task("MBPP", data=sample_data, split=split).problems]
        for split in ("prompt", "test", "validation", "train")
    }
    assert ids == {
        "prompt": ["mbpp/2", "mbpp/3", "mbpp/4"],
        "test": ["mbpp/11"],
        "validation": ["mbpp/511"],
        "train": ["mbpp/601", "mbpp/602"],
    }
    mbpp = make_task("MBPP", data=sample_data)
    assert mbpp.problems[0].question == "Write a function to add 601.\nIt must pass:\nassert add(ONE) == 602"
    assert [p.id for p in mbpp.examples] == ids["prompt"]


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    own = {"task_id": "one", "entry_point": "one", "prompt": "def one():\n", "canonical_solution": "    return 1"}
    own["test"] = "def check(candidate):\n    assert candidate() == 1"
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps(own))
    (problem,) = make_task("HumanEval", data=file, split="all").problems
    assert make_task("HumanEval", data=file, split="all").judge(reference_solution(problem), problem).correct


def record(code: str, *tests: str, setup: str = "") -> str:
    return json.dumps({"task_id": 601, "text": "x", "code": code, "test_list": tests, "test_setup_code": setup})


def test_what_only_a_reference_solution_tells_is_read_from_it(tmp_path: Path) -> None:
    # a function with the name of a builtin; a module that the tests use and only the solution imports
    lines = (
        record("def sum(a, b):\n    return a * b", "assert sum(2, 3) == 6"),
        record("import math\nimport os, sys as s\ndef f(x): return math.floor(x)", "assert f(2.5) == math.floor(2.5)"),
        record("class P:\n    x = 1\ndef f(p): return p.x", "assert f(p) == 1", setup="p = P()"),
    )
    file = tmp_path / "mbpp.jsonl"
    file.write_text("\n".join(lines))
    task = make_task("MBPP", data=file)
    assert [problem.meta["tests"].entry_point for problem in task.problems] == ["sum", "f", "f"]
    assert task.problems[1].meta["tests"].asserts == ("import math", "assert f(2.5) == math.floor(2.5)")
    for problem in task.problems:
        assert task.judge(reference_solution(problem), problem).correct
    # a response cannot bring a module or a builtin along
    forged = "```python\nclass math: floor = staticmethod(lambda _: 0)\ndef f(x): return 0\n```"
    assert task.judge(forged, task.problems[1]).reason is Reason.WRONG


@pytest.mark.parametrize(
    ("code", "test", "said"),
    [
        ("def f(x) return", "assert f(1)", "line 1: field 'code' is no Python"),
        ("def f(x): pass", "assert f(1", "line 1: field 'test_list' is no Python"),
        ("def f(x): pass", "assert True", "line 1: field 'test_list' .* calls nothing that field 'code' defines"),
        ("def f(x): pass", "assert g(1)", "line 1: field 'test_list' .* calls nothing that field 'code' defines"),
    ],
)
def test_a_record_whose_tests_can_say_nothing_is_refused(tmp_path: Path, code: str, test: str, said: str) -> None:
    file = tmp_path / "mbpp.jsonl"
    file.write_text(record(code, test))
    with pytest.raises(UserError, match=said):
        make_task("MBPP", data=file)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "splits", "size"), [("HumanEval", ["all"], 164), ("MBPP", list(MBPP_IDS), 974)])
def test_every_published_solution_is_correct(name: str, splits: list[str], size: int) -> None:
    if VARIABLE not in os.environ:
        pytest.skip(f"{VARIABLE} names no folder with the published files")
    wrong, seen = [], 0
    for split in splits:
        task = make_task(name, split=split)
        for problem in task.problems:
            seen += 1
            if not task.judge(reference_solution(problem), problem).correct:
                wrong.append(problem.id)
    assert (wrong, seen) == ([], size)


def test_the_hash_of_the_data_changes_with_what_decides_a_verdict() -> None:
    task = make_task("Code", size=2)
    first, second = task.problems

    def hashed(**meta: Any) -> str:
        return replace(task, problems=[replace(first, meta=meta), second]).fingerprint

    tests = first.meta["tests"]
    same = UnitTests(tuple(tests.asserts), entry_point="solve")
    assert hashed(tests=tests) == hashed(tests=same) != hashed(tests=UnitTests(tests.asserts[:-1]))
    assert hashed(tests=tests) != hashed(tests=replace(tests, seconds=tests.seconds + 1))
    assert hashed(choices={"b", "a", "c"}) == hashed(choices={"c", "a", "b"}) != hashed(choices={"a", "b"})
    assert hashed(own=object()) == hashed(own=object())  # its text has an address in it, which tells nothing
