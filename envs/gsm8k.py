"""GSM8K: grade-school word problems with written solutions (Cobbe et al. 2021, arXiv:2110.14168).

Source: github.com/openai/grade-school-math, `train.jsonl` and `test.jsonl` as published; licence MIT.
Size: 7,473 train and 1,319 test problems, 2 to 8 steps each; every answer is an integer.

    question   Weng earns $12 an hour ... 50 minutes of babysitting. How much did she earn?
    steps      Weng earns 12/60 = $0.2 per minute. | Working 50 minutes, she earned 0.2 x 50 = $10.
    answer     10

The published text marks each calculation (`$<<12/60=0.2>>0.2`). The marks are taken out of the steps, which are what a
model imitates, and kept in `meta["annotated"]`, line for line.

`socratic=True` reads the other published form (`train_socratic.jsonl`, `test_socratic.jsonl`): the same problems and
answers, each step behind the question that it answers, "How much did she earn? ** Working 50 minutes, ..".

For few-shot prompts: the shortest training problems of 2, 3 and 4 steps.
"""

from __future__ import annotations

import re
from pathlib import Path

from reasonenv.core import Problem
from reasonenv.data.files import DataPath, Record, Source, find, first, records
from reasonenv.errors import UserError, check_known
from reasonenv.tasks import Task, repeatable
from reasonenv.verify.grade import verify_math
from reasonenv.verify.numeric import parse_number

SPLITS = ("test", "train")

_ANNOTATION = re.compile(r"<<[^<>\n]*>>")


@repeatable
def gsm8k(*, split: str = "train", socratic: bool = False, data: DataPath = None, limit: int | None = None) -> Task:
    """GSM8K, split `train` or `test`; `data` as in `reasonenv.data.records`; `limit` keeps the first problems only.

    A `test` whose `train` is not there too has no few-shot examples; a lone file given as `data` is its own split.
    Raises `UserError` for an unknown split, missing data, a broken line or a limit below 1.
    """
    check_known("gsm8k split", split, SPLITS)
    config, tail = ("socratic", "_socratic") if socratic else ("main", "")

    def source(split: str) -> Source:
        return Source(f"gsm8k/{split}{tail}.jsonl", "openai/gsm8k", (f"{config}/{split}/0000.parquet",))

    def problems(split: str) -> list[Problem]:
        return [read_problem(f"gsm8k/{split}/{i}", record) for i, record in enumerate(records(source(split), data))]

    chosen, train = problems(split), list[Problem]()
    if split == "train":
        train = chosen
    elif not (data is not None and Path(data).expanduser().is_file()):
        try:
            find(source("train"), data)
        except UserError:
            pass  # no examples, then
        else:
            train = problems("train")
    return Task("GSM8K", split, first(chosen, limit), verify_math, max_tokens=256, examples=_examples(train))


def _examples(train: list[Problem]) -> tuple[Problem, ...]:
    shortest = sorted(train, key=lambda problem: len(problem.question) + len("".join(problem.steps)))
    by_steps = {len(problem.steps): problem for problem in reversed(shortest)}
    return tuple(by_steps[steps] for steps in (2, 3, 4) if steps in by_steps)


def read_problem(id: str, record: Record) -> Problem:
    """One record with a `question`, and an `answer` of annotated steps that ends in `#### ` and one number."""
    solution, mark, answer = record.text("answer").rpartition("#### ")
    if not mark or parse_number(answer) is None:
        raise UserError(f"{record.where}: field 'answer' must end in '#### ' and a number; it ends in {answer[-80:]!r}")
    annotated = tuple(line.strip() for line in solution.split("\n") if line.strip())
    steps = tuple(_ANNOTATION.sub("", line) for line in annotated)
    return Problem(id, record.text("question"), answer, steps, {"annotated": annotated})
