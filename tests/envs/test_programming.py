"""Programs by unit tests: problems made here and in the published forms, and what decides a verdict is in the hash."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reasonenv.catalog import make_task
from reasonenv.core import Problem, Reason
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
    assert make_task("HumanEval", data=file, split="all").verify(reference_solution(problem), problem).correct


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
