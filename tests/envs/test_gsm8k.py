"""GSM8K: every published solution is right, and what is not published is not."""

import json
from pathlib import Path

import pytest

from reasonenv.core import Reason
from reasonenv.envs.gsm8k import gsm8k
from reasonenv.errors import UserError
from reasonenv.tasks import reference_solution
from reasonenv.verify.extract import step_value
from reasonenv.verify.grade import grade
from reasonenv.verify.numeric import parse_number

LINE = json.dumps({"question": "2 and 2?", "answer": "It is 2+2=<<2+2=4>>4.\n\nSo 4.\n#### 4"})


@pytest.mark.parametrize(("split", "size"), [("train", 7473), ("test", 1319)])
def test_every_published_solution_verifies(data_folder: Path, split: str, size: int) -> None:
    task = gsm8k(split=split, data=data_folder)
    assert len(task.problems) == size
    assert [p.id for p in task.problems if not task.judge(reference_solution(p), p).correct] == []
    assert [p.id for p in task.problems if not grade(reference_solution(p), p.answer, extract="marked").correct] == []


@pytest.mark.parametrize("by", [-1, 1])
def test_a_thousand_answers_off_by_one_are_wrong(data_folder: Path, by: int) -> None:
    task = gsm8k(split="test", data=data_folder, limit=1000)
    for problem in task.problems:
        value = parse_number(problem.answer)
        assert value is not None
        altered = "\n".join((*problem.steps, f"#### {value + by}"))
        assert task.judge(altered, problem).reason is Reason.WRONG


def test_no_answer_and_unparsable_answers_are_not_wrong_answers(data_folder: Path) -> None:
    task = gsm8k(split="test", data=data_folder, limit=50)
    for problem in task.problems:
        assert task.judge("I do not know.", problem).reason is Reason.NO_ANSWER
        assert task.judge(f"#### {problem.answer} or 123456789", problem).reason is Reason.UNPARSABLE_ANSWER


def test_splits_share_no_question(data_folder: Path) -> None:
    train, test = ({p.question for p in gsm8k(split=s, data=data_folder).problems} for s in ("train", "test"))
    assert not train & test


def test_steps_show_no_annotation_and_meta_keeps_it_line_for_line(data_folder: Path) -> None:
    problem = gsm8k(data=data_folder, limit=2).problems[1]
    assert problem.id == "gsm8k/train/1"
    assert problem.steps[0] == "Weng earns 12/60 = $0.2 per minute."
    assert problem.meta["annotated"][0] == "Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute."
    assert len(problem.meta["annotated"]) == len(problem.steps) == 2


def test_the_text_of_a_step_tells_the_value_of_its_annotation(data_folder: Path) -> None:
    # Where it cannot, the text is algebra ("T + 7", "3T") or has words before the number.
    pairs = [
        (step_value(step), step_value(annotated))
        for problem in gsm8k(split="test", data=data_folder).problems
        for step, annotated in zip(problem.steps, problem.meta["annotated"], strict=True)
        if "<<" in annotated
    ]
    assert sum(shown == marked for shown, marked in pairs) > 0.995 * len(pairs)


def test_blank_lines_of_a_solution_are_no_steps(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(LINE + "\n")
    (problem,) = gsm8k(data=file).problems
    assert problem.steps == ("It is 2+2=4.", "So 4.")
    assert problem.answer == "4"


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ("{nope", "not JSON"),
        ("[1]", "holds a list"),
        ('{"question": "q?"}', "'answer' is None"),
        ('{"question": "", "answer": "#### 4"}', "'question' is ''"),
        ('{"question": "q?", "answer": "four"}', "must end in '#### '"),
        ('{"question": "q?", "answer": "#### 3 or 4"}', "ends in '3 or 4'"),
        ("[" * 100_000, "not readable"),
    ],
)
def test_a_broken_line_is_an_error_that_names_file_and_line(tmp_path: Path, broken: str, complaint: str) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text(f"{LINE}\n{LINE}\n{broken}\n{LINE}\n")
    with pytest.raises(UserError) as error:
        gsm8k(data=tmp_path)
    assert f"{file}, line 3" in str(error.value)
    assert complaint in str(error.value)


def test_bytes_that_are_not_utf8_are_an_error_that_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(LINE.encode() + b"\n\xff\n")
    with pytest.raises(UserError, match=r"train\.jsonl, line 2: not UTF-8"):
        gsm8k(data=tmp_path)


def test_knobs_out_of_range_are_user_errors(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(LINE)
    with pytest.raises(UserError, match="did you mean train"):
        gsm8k(split="trian", data=tmp_path)
    with pytest.raises(UserError, match="limit is 0"):
        gsm8k(data=tmp_path, limit=0)
    (tmp_path / "train.jsonl").write_text("")
    with pytest.raises(UserError, match="no records"):
        gsm8k(data=tmp_path)
