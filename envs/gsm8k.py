"""GSM8K: grade-school word problems with written solutions (Cobbe et al. 2021, arXiv:2110.14168).

Source: github.com/openai/grade-school-math, `train.jsonl` and `test.jsonl` as published; licence MIT.
Size: 7,473 train and 1,319 test problems, 2 to 8 steps each; every answer is an integer.

    question   Weng earns $12 an hour ... 50 minutes of babysitting. How much did she earn?
    steps      Weng earns 12/60 = $0.2 per minute. | Working 50 minutes, she earned 0.2 x 50 = $10.
    answer     10

The published text marks each calculation (`$<<12/60=0.2>>0.2`). The marks are taken out of the steps, which are what a
model imitates, and kept in `meta["annotated"]`, line for line.
"""

from __future__ import annotations

import re
from pathlib import Path

from reasonenv.core import Problem
from reasonenv.data import Record, Source, first, records
from reasonenv.errors import UserError, unknown
from reasonenv.tasks import Task
from reasonenv.verify.grade import verify_math
from reasonenv.verify.numeric import parse_number

SPLITS = ("test", "train")

_ANNOTATION = re.compile(r"<<[^<>\n]*>>")


def gsm8k(*, split: str = "train", data: str | Path | None = None, limit: int | None = None) -> Task:
    """GSM8K, split `train` or `test`; `data` as in `reasonenv.data.records`; `limit` keeps the first problems only.

    Raises `UserError` for an unknown split, missing data, a broken line or a limit below 1.
    """
    if split not in SPLITS:
        raise unknown("gsm8k split", split, SPLITS)
    source = Source(f"gsm8k/{split}.jsonl", "openai/gsm8k", (f"main/{split}/0000.parquet",))
    problems = [_problem(f"gsm8k/{split}/{i}", record) for i, record in enumerate(records(source, data))]
    return Task("GSM8K", split, first(problems, limit), verify_math, max_tokens=256)


def _problem(id: str, record: Record) -> Problem:
    solution, mark, answer = record.text("answer").rpartition("#### ")
    if not mark or parse_number(answer) is None:
        raise UserError(
            f"{record.where}: field 'answer' must end in '#### ' and one number; it ends in {answer[-80:]!r}"
        )
    annotated = tuple(line.strip() for line in solution.split("\n") if line.strip())
    steps = tuple(_ANNOTATION.sub("", line) for line in annotated)
    return Problem(id, record.text("question"), answer, steps, {"annotated": annotated})
