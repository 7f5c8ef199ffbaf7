"""MultiArith: word problems of two operations (Roy and Roth 2015, EMNLP; arXiv:1608.01413).

Source: `MultiArith.json` as published with the paper (`multiarith/MultiArith.json`), hub ChilleD/MultiArith; no licence
is stated. Size: 600 problems; every answer is an integer.

    question   A shelf holds 4 boxes of 6 cups. 5 cups break. How many are left?       (made up, in MultiArith's format)
    steps      ((4.0*6.0)-5.0)=19      (the hub's copy has none)
    answer     19

Split. The published file has none and its copies are cut differently, so one in five is `test`, by a hash of the scene:
the question without its numbers. Problems of one scene stay on one side.
"""

from __future__ import annotations

import re

from reasonenv.core import Problem
from reasonenv.data.files import DataPath, Record, Source, first, records
from reasonenv.errors import UserError, check_known
from reasonenv.tasks import Task, in_test, repeatable
from reasonenv.verify.grade import verify_math
from reasonenv.verify.numeric import parse_number

SPLITS = ("test", "train")
SOURCE = Source(
    "multiarith/MultiArith.json", "ChilleD/MultiArith", ("default/train/0000.parquet", "default/test/0000.parquet")
)

_NUMBER = re.compile(r"[0-9][0-9.,]*")


@repeatable
def multiarith(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """MultiArith, split `train` or `test` as above; `data` as in `reasonenv.data.records`; `limit` keeps the first.

    Raises `UserError` for an unknown split, missing data, a broken record or a limit below 1.
    """
    check_known("multiarith split", split, SPLITS)
    problems = [_problem(i, record) for i, record in enumerate(records(SOURCE, data))]
    chosen = [p for p in problems if in_test(_NUMBER.sub("#", p.question), one_in=5) == (split == "test")]
    return Task("MultiArith", split, first(chosen, limit), verify_math, max_tokens=128)


def _problem(i: int, record: Record) -> Problem:
    """From the published names (sQuestion, lSolutions, lEquations) or from the hub's (question, final_ans)."""
    if "sQuestion" not in record.fields:
        return Problem(f"multiarith/{i}", record.text("question"), record.number("final_ans"))
    solutions, equations = record.fields.get("lSolutions"), record.fields.get("lEquations")
    value = parse_number(str(solutions[0])) if isinstance(solutions, list) and len(solutions) == 1 else None
    if value is None:
        raise UserError(f"{record.where}: field 'lSolutions' is {solutions!r}; it must be a list of one number")
    if not isinstance(equations, list) or not all(isinstance(e, str) and e.startswith("X=") for e in equations):
        raise UserError(f"{record.where}: field 'lEquations' is {equations!r}; it must list texts like 'X=(4+6)'")
    steps = tuple(f"{equation[2:]}={value}" for equation in equations)
    return Problem(f"multiarith/{i}", record.text("sQuestion"), str(value), steps)
