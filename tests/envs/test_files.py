"""The tasks that read published files: what they make of a few lines in the right format, and of wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reasonenv.catalog import make_task
from reasonenv.checks import check_task
from reasonenv.core import Problem
from reasonenv.envs.gsm8k import gsm8k
from reasonenv.errors import UserError

MATHEMATICS = ("MATH", "MATH500", "AIME", "AIME2025", "AIME2026", "AMC23", "Minerva", "OlympiadBench")
TASKS = (*MATHEMATICS, "ASDiv", "MultiArith", "GSMSymbolic", "ARC", "HumanEval", "MBPP")


@pytest.mark.parametrize("name", TASKS)
def test_every_check_holds_on_lines_of_the_published_format(sample_data: Path, name: str) -> None:
    assert [(c.name, c.seen) for c in check_task(name, data=sample_data) if not c.holds] == []


WHERE = dict.fromkeys(("GSMSymbolic", "HumanEval"), "all")  # the split in which a broken line stands
WHERE |= dict.fromkeys(("AIME2025", "AIME2026", "AMC23", "Minerva", "OlympiadBench"), "test")


def first(name: str, data: Path, **knobs: Any) -> Problem:
    return make_task(name, data=data, **knobs).problems[0]


def test_fields_become_questions_steps_and_answers(sample_data: Path) -> None:
    math = first("MATH", sample_data)
    assert (math.question, math.answer) == ("What is $\\frac{3}{2}$?", "\\frac{3}{2}")
    assert math.steps == ("Half of 3.", "So it is $\\boxed{\\frac{3}{2}}$.")
    assert math.meta["level"] == "Level 1"
    assert first("MATH500", sample_data, split="test").answer == "\\frac{7}{2}"
    assert [p.answer for p in make_task("AIME", data=sample_data).problems] == ["33", "34"]  # 2022 and 2023
    assert first("AIME", sample_data, split="test").answer == "35"
    asdiv = first("ASDiv", sample_data)
    assert (asdiv.question, asdiv.steps[0].split("=")[1]) == (asdiv.question, asdiv.answer)
    assert asdiv.question.endswith("buys 2. How many now?")
    multi = first("MultiArith", sample_data)
    assert multi.steps == (f"({int(multi.answer) // 3}*3)={multi.answer}",)
    arc, numbered = make_task("ARC", data=sample_data).problems
    assert arc.question == "Which melts first?\n(A) ice\n(B) iron\n(C) salt"
    assert (arc.answer, numbered.answer, numbered.question[-8:]) == ("A", "A", "(B) snow")


def test_sets_that_are_tests_alone_are_trained_on_math(sample_data: Path) -> None:
    for name in ("MATH500", "AIME2025", "AIME2026", "AMC23", "Minerva", "OlympiadBench"):
        assert make_task(name, data=sample_data).problems == make_task("MATH", data=sample_data).problems


def test_a_set_of_which_only_the_test_is_there_is_checked_too(sample_data: Path) -> None:
    (sample_data / "math/train.jsonl").unlink()
    for name in ("MATH", "AIME2025", "OlympiadBench"):
        checks = check_task(name, data=sample_data)
        assert [(check.name, check.seen) for check in checks if not check.holds] == []
        assert [check.seen for check in checks if check.remark] == ["there is data for test alone"]
    with pytest.raises(UserError, match=r"math/train.jsonl not found"):
        check_task("MATH", data=sample_data / "arc")


def answers(name: str, data: Path) -> list[str]:
    return [problem.answer for problem in make_task(name, data=data, split="test").problems]


def test_numbers_as_published_are_answers(sample_data: Path) -> None:
    assert answers("AIME2025", sample_data) == ["8", "9"]  # integers
    assert answers("AIME2026", sample_data) == ["9", "10"]
    assert answers("AMC23", sample_data) == ["27", "55/2"]  # 27.0 and 27.5
    assert answers("Minerva", sample_data) == ["6.2e18", "12.4e18"]  # in the box of the solution


@pytest.mark.parametrize(
    ("record", "test"),
    [
        ({"problem": "?", "answer": "7", "year": 2023}, False),
        ({"problem": "?", "answer": 7, "year": "2024"}, True),
        ({"question": "?", "answer": "007", "solution": None, "url": "wiki/2025_AIME_I"}, True),
        ({"problem": "?", "answer": None, "solution": "So \\boxed{7}.", "url": "wiki/2022_AIME_I"}, False),
    ],
)
def test_the_forms_in_which_aime_is_published_are_read(tmp_path: Path, record: dict[str, Any], test: bool) -> None:
    rows = [record, {"problem": "other", "answer": 1, "year": 2022 if test else 2024}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (problem,) = make_task("AIME", data=tmp_path, split="test" if test else "train").problems
    assert (problem.question, problem.answer.lstrip("0")) == ("?", "7")


def test_problems_of_olympiads_have_lists_units_and_tolerances(sample_data: Path) -> None:
    task = make_task("OlympiadBench", data=sample_data, split="test")
    several, long, interval = task.problems  # one that only a person can judge is not asked
    assert [p.answer for p in task.problems] == ["2,-1", "12.57", "(-2,2)"]
    assert long.question == "A circle has radius 2.\n\nHow long is it?\n\nThe unit of the answer is $cm$."
    assert long.steps == ("It is $4\\pi$.", "So 12.57.")

    def correct(answer: str, problem: Problem) -> bool:
        return task.judge(rf"\boxed{{{answer}}}", problem).correct

    assert correct("-1, 2", several)
    assert not correct("2", several)
    # the source allows an error of 1e-1: 12.57 - 0.1 = 12.47 and 12.57 + 0.1 = 12.67 are the last right numbers
    judged = {number: correct(number, long) for number in ("12.46", "12.47", "12.6", "12.67", "12.68", "x")}
    assert judged == {"12.46": False, "12.47": True, "12.6": True, "12.67": True, "12.68": False, "x": False}
    assert task.judge("#### 12.6", long).canonical == task.judge("#### 12.57", long).canonical  # they vote together
    assert not correct("[-2,2]", interval)


def test_an_answer_that_is_not_one_number_is_not_asked(sample_data: Path) -> None:
    sizes = [len(make_task("ASDiv", data=sample_data, split=split).problems) for split in ("train", "test")]
    assert sum(sizes) == 12  # the other twelve ask for two numbers
    assert min(sizes) > 0


def test_a_template_of_gsm_symbolic_is_on_one_side(sample_data: Path) -> None:
    sides = [
        {p.question.split()[1] for p in make_task("GSMSymbolic", data=sample_data, split=split).problems}
        for split in ("train", "test", "all")
    ]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == sides[2] == {str(i) for i in range(12)}


def test_a_choice_may_be_given_by_its_text(sample_data: Path) -> None:
    task = make_task("ARC", data=sample_data)
    reasons = [str(task.judge(text, task.problems[0]).reason) for text in ("#### ice", "The answer is (B).", "a cat")]
    assert reasons == ["correct", "wrong", "unparsable_answer"]


@pytest.mark.parametrize(
    ("name", "file", "change", "told"),
    [
        ("MATH", "math/train.jsonl", {"solution": "It is 4."}, "field 'solution' must hold its answer in \\boxed"),
        ("MATH", "math/train.jsonl", {"problem": 5}, "field 'problem' is 5"),
        ("AIME", "aime/train.jsonl", {"url": "elsewhere"}, "field 'url' is 'elsewhere'"),
        ("AIME", "aime/train.jsonl", {"year": "MMXXIV"}, "field 'year' is 'MMXXIV'"),
        ("AIME2025", "aime2025/test.jsonl", {"answer": float("nan")}, "not readable (NaN"),
        ("AIME2026", "aime2026/test.jsonl", {"answer": None}, "field 'solution' is None"),
        ("AMC23", "amc23/test.jsonl", {"answer": [27]}, "field 'answer' is [27]"),
        ("Minerva", "minerva_math/test.jsonl", {"solution": "It is 4."}, "field 'solution' must hold its answer in"),
        ("GSMSymbolic", "gsm_symbolic/GSM_symbolic.jsonl", {"original_id": None}, "field 'original_id' is None"),
        ("GSMSymbolic", "gsm_symbolic/GSM_symbolic.jsonl", {"answer": "4"}, "field 'answer' must end in '#### '"),
        ("HumanEval", "humaneval/HumanEval.jsonl", {"test": ""}, "field 'test' is ''"),
        ("MBPP", "mbpp/mbpp.jsonl", {"task_id": 975}, "field 'task_id' is 975"),
        ("MBPP", "mbpp/mbpp.jsonl", {"test_list": []}, "field 'test_list' is []"),
        ("ARC", "arc/ARC-Challenge-Train.jsonl", {"answerKey": "E"}, "field 'answerKey' is 'E'"),
        ("ARC", "arc/ARC-Challenge-Train.jsonl", {"question": {"stem": "?"}}, "field 'choices' is None"),
    ],
)
def test_a_broken_line_is_an_error_that_names_file_line_and_field(
    sample_data: Path, name: str, file: str, change: dict[str, Any], told: str
) -> None:
    path = sample_data / file
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("\n".join(json.dumps(row) for row in (rows[0], rows[1] | change)))
    with pytest.raises(UserError) as error:
        make_task(name, data=sample_data, split=WHERE.get(name, "train"))
    assert f"{path}, line 2: " in str(error.value)
    assert told in str(error.value)


@pytest.mark.parametrize("change", [{"final_answer": []}, {"final_answer": "2"}, {"solution": [5]}, {"answer_type": 1}])
def test_a_broken_record_of_olympiadbench(sample_data: Path, change: dict[str, Any]) -> None:
    path = sample_data / "olympiadbench/OE_TO_maths_en_COMP.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([rows[0] | change, *rows[1:]]))
    with pytest.raises(UserError, match=rf"line 1: field '{next(iter(change))}'"):
        make_task("OlympiadBench", data=sample_data, split="test")


@pytest.mark.parametrize("change", [{"lSolutions": [1, 2]}, {"lSolutions": 3}, {"lEquations": ["3+4"]}])
def test_a_broken_record_of_multiarith(sample_data: Path, change: dict[str, Any]) -> None:
    path = sample_data / "multiarith/MultiArith.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([rows[0] | change, *rows[1:]]))
    with pytest.raises(UserError, match=rf"line 1: field '{next(iter(change))}'"):
        make_task("MultiArith", data=sample_data)


def test_the_hub_names_of_multiarith_are_read_too(tmp_path: Path) -> None:
    rows = [{"question": f"{n} and 1?", "final_ans": f" {n + 1}"} for n in "abcdefgh" for n in (3,)]
    names = [row | {"question": f"{who} has 3 and gets 1?"} for row, who in zip(rows, "abcdefgh", strict=True)]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(names))
    assert {p.answer for p in make_task("MultiArith", data=file).problems} == {"4"}


def test_xml_that_is_none(sample_data: Path) -> None:
    (sample_data / "asdiv/ASDiv.xml").write_text("<R><Problem>")
    with pytest.raises(UserError, match=r"ASDiv\.xml: not XML"):
        make_task("ASDiv", data=sample_data)


@pytest.mark.parametrize(
    ("box", "answer"),
    [("\\boxed{a{b}c}", "a{b}c"), ("\\fbox{12}", "12"), ("$\\boxed 5$", "5"), ("\\boxed{1}, no: \\boxed{ 2\n}", "2")],
)
def test_the_last_box_of_a_solution_is_its_answer(tmp_path: Path, box: str, answer: str) -> None:
    (tmp_path / "train.jsonl").write_text(json.dumps({"problem": "?", "solution": f"It is {box}."}))
    assert first("MATH", tmp_path).answer == answer


def test_socratic_steps_carry_their_questions(tmp_path: Path) -> None:
    for split in ("train", "test"):
        row = {"question": f"{split}: 2 and 2?", "answer": "How many? ** It is 2+2=<<2+2=4>>4.\n#### 4"}
        (tmp_path / f"{split}_socratic.jsonl").write_text(json.dumps(row))
    assert gsm8k(socratic=True, data=tmp_path).problems[0].steps == ("How many? ** It is 2+2=4.",)


def test_a_test_split_alone_has_no_examples(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": "2 and 2?", "answer": "It is 4.\n#### 4"}))
    assert gsm8k(split="test", data=tmp_path).examples == ()


def test_few_shot_examples_are_short_training_problems_of_2_3_and_4_steps(data_folder: Path) -> None:
    tasks = [gsm8k(split=split, data=data_folder, limit=5) for split in ("train", "test")]
    assert tasks[0].examples == tasks[1].examples
    assert [len(p.steps) for p in tasks[0].examples] == [2, 3, 4]
    assert all(p.id.startswith("gsm8k/train/") for p in tasks[0].examples)
