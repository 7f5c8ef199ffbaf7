"""`check_task`: what is sound passes, and each way of being unsound fails the check that is about it, and says why."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reasonenv import Problem, Reason, Task, UserError, Verdict
from reasonenv.checks import CLAIMS, altered, check_task, table
from reasonenv.cli import main
from reasonenv.verify.grade import verify_math


def doubles(*, split: str = "train", **changes: Any) -> Task:
    start = 0 if split == "train" else 100
    problems = [Problem(f"doubles/{i}", f"2 * {i}?", str(2 * i)) for i in range(start, start + 20)]
    return Task(**{"name": "Doubles", "split": split, "problems": problems, "verify": verify_math, **changes})


def failed(factory: Callable[..., Task]) -> dict[str, str]:
    return {check.name: check.seen for check in check_task(factory, sample=20) if not check.holds}


def test_a_sound_task_passes_every_check() -> None:
    checks = check_task(doubles)
    assert [check.name for check in checks] == list(CLAIMS)
    assert failed(doubles) == {}
    assert "40 reference solutions" in checks[list(CLAIMS).index("gold answers verify")].seen


def judge(text: str, problem: Problem, state: dict[str, Any]) -> bool | str:
    state["turns"] = state.get("turns", 0) + 1
    return problem.answer in text if state["turns"] == 3 else "once more"


def test_a_sound_conversation_passes_every_check() -> None:
    assert failed(partial(doubles, replies=(judge,), max_tokens=200)) == {}


@pytest.mark.parametrize("name", ["Chain", "Countdown"])
def test_made_tasks_pass_every_check(name: str) -> None:
    assert [(c.name, c.seen) for c in check_task(name, sample=20, size=50) if not c.holds] == []


def test_a_size_that_the_test_split_does_not_have_is_no_reason_not_to_check() -> None:
    # of the 81 sums of two digits about 8 are `test`; 60 train
    sizes = next(check.seen for check in check_task("Chain", sample=5, size=60, operands=2, operators="+"))
    assert sizes.startswith("60 train, ")
    assert 0 < int(sizes.split()[2]) < 81 - 60


def generous(text: str, problem: Problem) -> Verdict:
    return Verdict(Reason.CORRECT, text, problem.answer)


def broken(text: str, problem: Problem) -> Verdict:
    raise KeyError("no such key")


def strict(text: str, problem: Problem) -> Verdict:
    return Verdict(Reason.WRONG, text, problem.answer)


@pytest.mark.parametrize(
    ("verify", "names", "told"),
    [
        (generous, ["altered answers do not", "no answer is not correct"], "'1' is accepted for '0'"),
        (strict, ["gold answers verify"], "doubles/0: its own answer '0' is wrong"),
        (
            broken,
            [
                "gold answers verify",
                "the same text, the same verdict",
                "altered answers do not",
                "no answer is not correct",
                "Gymnasium's own checker",
            ],
            "KeyError: 'no such key'",
        ),
    ],
)
def test_a_verifier_that_is_wrong_is_found_out(verify: Any, names: list[str], told: str) -> None:
    with pytest.warns(UserWarning, match="the verifier of Doubles failed") if verify is broken else nullcontext():
        found = failed(lambda split="train": doubles(split=split, verify=verify))
    assert [name for name in found if name != "Gymnasium's own checker"] == [
        name for name in names if name != "Gymnasium's own checker"
    ]
    assert told in next(iter(found.values()))


def test_a_verifier_that_changes_its_mind_is_found_out() -> None:
    calls = itertools.count()

    def fickle(text: str, problem: Problem) -> Verdict:
        verdict = verify_math(text, problem)
        return replace(verdict, extracted=f"{verdict.extracted} of call {next(calls)}")

    found = failed(lambda split="train": doubles(split=split, verify=fickle))
    told = "doubles/0: its reference solution is correct ('0 of call 40') and then correct ('0 of call 41')"
    assert found["the same text, the same verdict"] == told
    assert "Verdict" in found["granularity and replay"]


def test_problems_that_are_wrong_are_found_out() -> None:
    same = [Problem("a", "2 * 1?", "2"), Problem("b", "2 * 2?", "4")]
    assert list(failed(lambda split="train": doubles(split=split, problems=same))) == ["splits are disjoint"]
    long = [Problem(str(i), f"2 * {i}?", str(2 * i)) for i in range(3_000)]  # beyond the problems that are verified
    late = {"train": long, "test": [Problem("x", "2 * 2999?", "5998")]}
    both = failed(lambda split="train": doubles(split=split, problems=late[split]))
    assert both["splits are disjoint"] == "1 questions are in both splits, as '2 * 2999?' is"
    twins = [Problem("a", "2 * 1?", "2"), Problem("a", "2 * 2?", "4")]
    assert "ids are unique" in failed(lambda split="train": doubles(split=split, problems=twins))
    counter = itertools.count()
    fickle = failed(lambda split="train": doubles(split=split, problems=[Problem("a", f"{next(counter)}?", "2")]))
    assert list(fickle) == ["the same seed, the same problem"]
    again = [Problem(str(i), f"2 * {i % 19}?", str(2 * (i % 19))) for i in range(20)]
    often = failed(lambda split="train": doubles(split=split, **({"problems": again} if split == "test" else {})))
    message = "1 of 20 problems of test repeat an earlier question: '2 * 0?' is asked 2 times"
    assert often["no question twice"].startswith(message)
    other = [Problem("a", "2 * 1?", "2"), Problem("b", "2 * 1?", "3"), Problem("c", "2 * 3?", "6")]
    several = failed(lambda split="train": doubles(split=split, **({"problems": other} if split == "train" else {})))
    assert several["one question, one answer"] == "1 questions have several answers: '2 * 1?' has '2' and '3'"
    leaked = failed(lambda split="train": doubles(split=split, examples=(doubles(split="test").problems[0],)))
    assert "a few-shot example is a test problem" in leaked["splits are disjoint"]


def test_what_may_be_meant_is_a_remark_and_no_failure() -> None:
    solved_twice = [Problem("a", "2 * 1?", "2", ("1+1=2",)), Problem("b", "2 * 1?", "2"), Problem("c", "2 * 3?", "6")]
    close = [Problem("d", "2  *\n1?", "2")]
    splits = {"train": solved_twice, "test": close}
    checks = {c.name: c for c in check_task(lambda split="train": doubles(split=split, problems=splits[split]))}
    assert all(check.holds for check in checks.values())
    remarks = {name: check.seen for name, check in checks.items() if check.remark}
    assert remarks == {
        "no question twice": "1 of 3 problems of train repeat an earlier question: '2 * 1?' is asked 2 times",
        "no near-duplicates": "1 questions come again with other white space or case, 1 in both splits: "
        "'2 * 1?' of train and '2  *\\n1?' of test",
    }
    assert sum(line.startswith("note ") for line in table(list(checks.values())).splitlines()) == 2


@pytest.mark.parametrize(("answer", "other"), [("4", "5"), ("1/2", "3/2"), ("B", "C"), ("x^2", "x^2 + 1")])
def test_an_answer_is_altered_to_the_next_one(answer: str, other: str) -> None:
    assert altered(answer) == other


def test_a_mistake_of_the_user_is_no_finding() -> None:
    for task, knobs in (("Chian", {}), ("Chain", {"operand": 2}), ("Chain", {"sample": 0})):
        with pytest.raises(UserError):
            check_task(task, **knobs)
    with pytest.raises(UserError, match="did you mean dense"):
        check_task(doubles, reward="dens")
    with pytest.raises(UserError, match="the task cannot be made: ZeroDivisionError"):
        check_task(lambda split="train": doubles(split=split, problems=[1 // 0]))


TASK = """
from reasonenv import from_problems
from reasonenv.core import Reason, Verdict
from reasonenv.verify.grade import verify_math

def whole(text, problem):
    if problem.answer.isdigit():
        return verify_math(text, problem)
    return Verdict(Reason.UNPARSABLE_GOLD, None, problem.answer)

right = from_problems([(f"{n} + 1?", str(n + 1)) for n in range(9)])
wrong = from_problems([(f"{n} + 1?", "some" if n == 4 else str(n + 1)) for n in range(9)], verifier=whole)
"""


def test_the_command_prints_a_table_and_its_exit_code_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(TASK)
    monkeypatch.chdir(tmp_path)
    assert main(["check", "mine.py:right"]) == 0
    out = capsys.readouterr().out
    assert out.count("ok    ") == len(CLAIMS)
    assert out.endswith("mine.py:right: every check holds\n")
    assert main(["check", "mine.py:wrong", "--sample", "9"]) == 1
    out = capsys.readouterr().out
    assert "FAILED  gold answers verify" in out
    assert "its own answer 'some' is unparsable_gold" in out
    assert main(["check", "reasonenv/Chain-Token-v0", "size=20", "--sample", "5", "--json"]) == 0
    assert {row["holds"] for row in json.loads(capsys.readouterr().out)} == {True}
    assert main(["check", "reasonenv/Chian-Token-v0"]) == 2
    assert "did you mean" in capsys.readouterr().err
