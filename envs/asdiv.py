"""ASDiv: diverse word problems of primary school (Miao et al. 2020, ACL; arXiv:2106.15772).

Source: github.com/chaochun/nlu-asdiv-dataset, `ASDiv.xml` as published (`asdiv/ASDiv.xml`), hub EleutherAI/asdiv;
licence CC BY-NC 4.0. Size: 2,305 problems, grades 1 to 6. Asked are those whose answer is one number: the others want
a name, a time of day, a ratio or several numbers.

    question   Ann has 4 pens and Bo has 3. How many pens do they have together?     (made up; the format is ASDiv's)
    steps      4+3=7
    answer     7

Split. The source has folds and no split, so one in five is `test`, by a hash of the scene: the body without its
numbers. Problems of one scene stay on one side.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from reasonenv.core import Problem
from reasonenv.data.files import DataPath, Record, Source, find, first, read
from reasonenv.errors import UserError, check_known
from reasonenv.tasks import Task, in_test, repeatable
from reasonenv.verify.extract import step_value
from reasonenv.verify.grade import verify_math
from reasonenv.verify.numeric import parse_number

SPLITS = ("test", "train")
SOURCE = Source("asdiv/ASDiv.xml", "EleutherAI/asdiv", ("asdiv/validation/0000.parquet",))

_NUMBER = re.compile(r"[0-9][0-9.,]*")
_UNIT = re.compile(r"\s*\([^()]*\)\s*$")  # "9 (apples)"


@repeatable
def asdiv(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """ASDiv, split `train` or `test` as above; `data` as in `reasonenv.data.records`; `limit` keeps the first ones.

    Raises `UserError` for an unknown split, missing data, a broken record or a limit below 1.
    """
    check_known("asdiv split", split, SPLITS)
    rows: list[Record] = []
    for path in find(SOURCE, data):
        rows += _xml(path) if path.suffix == ".xml" else read(path)
    problems = []
    for i, record in enumerate(rows):
        body, answer = record.text("body"), _UNIT.sub("", record.text("answer"))
        scene = _NUMBER.sub("#", f"{body} {record.text('question')}")
        if parse_number(answer) is not None and in_test(scene, one_in=5) == (split == "test"):
            problems.append(_problem(i, record, answer))
    return Task("ASDiv", split, first(problems, limit), verify_math, max_tokens=128)


def _problem(i: int, record: Record, answer: str) -> Problem:
    formula = record.fields.get("formula") or ""
    steps = (formula,) if step_value(formula) == parse_number(answer) else ()  # 5 = 5, and not "x+2=7;x=5"
    meta: dict[str, Any] = {key: record.fields[key] for key in ("solution_type", "grade") if key in record.fields}
    return Problem(f"asdiv/{i}", f"{record.text('body')} {record.text('question')}", answer, steps, meta)


def _xml(path: Path) -> list[Record]:
    """The problems of the published file, under the names that they have on the hub."""
    try:
        root = ET.fromstring(path.read_bytes())
    except ET.ParseError as error:
        raise UserError(f"{path}: not XML ({error}); give the file as published") from None
    records = []
    for node in root.iter("Problem"):
        fields = {child.tag.lower().replace("-", "_"): child.text for child in node}
        records.append(Record(f"{path}, problem {node.get('ID')}", fields | {"grade": node.get("Grade")}))
    return records
