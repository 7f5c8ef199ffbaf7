"""SVAMP: golds verify, steps are true, and no scene stands on both sides of the split."""

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from reasonenv.envs.svamp import svamp
from reasonenv.errors import UserError
from reasonenv.tasks import Task, reference_solution
from reasonenv.verify.extract import step_value

ROW = {"ID": "chal-7", "Body": "He ate 5.", "Question": "How many?", "Equation": "5", "Answer": 5.0, "Type": "Addition"}


@pytest.fixture(scope="module")
def splits(data_folder: Path) -> tuple[Task, Task]:
    return svamp(split="train", data=data_folder), svamp(split="test", data=data_folder)


def one_row(folder: Path, **fields: Any) -> Path:
    file = folder / "SVAMP.json"
    other = ROW | {"ID": "chal-1", "Body": "Another scene."}  # takes the one place that 70 % of two make in train
    file.write_text(json.dumps([other, ROW | fields], indent=2))
    return file


def test_every_gold_verifies_and_the_sizes_are_700_and_300(splits: tuple[Task, Task]) -> None:
    assert [len(task.problems) for task in splits] == [700, 300]
    for task in splits:
        assert [p.id for p in task.problems if not task.judge(reference_solution(p), p).correct] == []


def test_no_scene_is_on_both_sides(splits: tuple[Task, Task], data_folder: Path) -> None:
    rows = {f"svamp/{row['ID']}": row for row in json.loads((data_folder / "svamp/SVAMP.json").read_text())}
    train, test = ({re.sub("[0-9]+", "#", rows[p.id]["Body"].strip()) for p in task.problems} for task in splits)
    assert not train & test
    assert len(train) + len(test) == 655


def test_every_step_is_exactly_true_and_the_last_one_is_the_answer(splits: tuple[Task, Task]) -> None:
    without_steps = []
    for problem in (p for task in splits for p in task.problems):
        for step in problem.steps:
            left, right = step.split(" = ")
            exact = re.sub(r"([0-9.]+)", r"Fraction('\1')", left)
            assert eval(exact, {"Fraction": Fraction}) == Fraction(right) == step_value(step)
        if problem.steps:
            assert problem.steps[-1].endswith(f"= {problem.answer}")
        else:
            without_steps.append(problem.id)
    assert sorted(without_steps) == ["svamp/chal-555", "svamp/chal-680"]


def test_the_split_does_not_depend_on_the_order_of_the_file(
    splits: tuple[Task, Task], data_folder: Path, tmp_path: Path
) -> None:
    rows = json.loads((data_folder / "svamp/SVAMP.json").read_text())
    assert [row["ID"] for row in rows] == [f"chal-{i}" for i in range(1, 1001)]  # so ids carry the published order
    (tmp_path / "SVAMP.json").write_text(json.dumps(rows[::-1]))
    assert svamp(data=tmp_path).fingerprint == splits[0].fingerprint


def test_nested_equations_become_several_steps_and_numbers_are_written_naturally(tmp_path: Path) -> None:
    def steps(equation: str, answer: float) -> tuple[str, ...]:
        return svamp(split="test", data=one_row(tmp_path, Equation=equation, Answer=answer)).problems[0].steps

    assert steps("( ( 28.0 + 82.0 ) - 30.0 )", 80.0) == ("28 + 82 = 110", "110 - 30 = 80")
    assert steps("( 9.0 - ( 2.0 + 3.0 ) )", 4.0) == ("2 + 3 = 5", "9 - 5 = 4")
    assert steps("( 28.0 * ( 24.0 / 16.0 ) )", 42.0) == ("24 / 16 = 1.5", "28 * 1.5 = 42")
    assert steps("( 6.0 * ( 1.0 / 3.0 ) )", 2.0) == ("1 / 3 = 1/3", "6 * 1/3 = 2")  # no decimal is exact
    assert steps("( ( 4.0 - 2.0 ) + 3.0 )", 1.0) == ()  # the equation contradicts the published answer


def test_answers_are_clean_strings(tmp_path: Path) -> None:
    def clean(answer: float | str) -> str:
        return svamp(split="test", data=one_row(tmp_path, Answer=answer)).problems[0].answer

    assert [clean(answer) for answer in (51.0, 2.5, "1,051.0")] == ["51", "2.5", "1051"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Equation", "( 1.0 + )"),
        ("Equation", "5.0 )"),
        ("Equation", "( 1.0 / 0.0 )"),
        ("Equation", "( 1.0 ? 2.0 )"),
        ("Answer", None),
        ("Answer", "NaN"),
        ("Body", 5),
        ("ID", "7"),
    ],
)
def test_a_broken_record_is_an_error_that_names_file_and_line(tmp_path: Path, field: str, value: Any) -> None:
    file = one_row(tmp_path, **{field: value})
    # json.dumps(indent=2) writes "[", then "{", six fields and "}," for the first row: the second starts on line 10
    with pytest.raises(UserError) as error:
        svamp(data=file)
    assert str(error.value).startswith(f"{file}, line 10: field {field!r}")


def test_a_file_that_is_no_list_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "SVAMP.json"
    file.write_text('[\n{"ID": "chal-1",\n}\n]')
    with pytest.raises(UserError, match=r"SVAMP\.json, line 3, column 1: not JSON"):
        svamp(data=file)
    file.write_text("{}")
    with pytest.raises(UserError, match="must be a list"):
        svamp(data=file)
