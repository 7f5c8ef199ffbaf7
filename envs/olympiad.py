r"""OlympiadBench: problems of mathematical olympiads with answers of several forms (He et al. 2024, arXiv:2402.14008).

Source: github.com/OpenBMB/OlympiadBench, `OE_TO_maths_en_COMP.json` as published (open-ended, text only, English) in a
folder `olympiadbench`, hub Hothan/OlympiadBench; licence Apache-2.0. Size: 674 problems. Other text-only files of the
set, such as those of physics, are read with `data=FILE`.

    question   Find all real $x$ with $x^2 - x = 2$.                    (made up; the format is OlympiadBench's)
    steps      $(x-2)(x+1) = 0$.
    answer     2,-1

Asked are the problems that a verifier can judge: not those of the answer type "Need_human_evaluate". A `context` stands
before the question and the `unit` behind it. Several answers are right in any order. Where the source gives an `error`,
a number that differs from the answer by no more is right. The `train` split is that of MATH.
"""

from __future__ import annotations

from time import perf_counter

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.data.files import DataPath, Record, Source, first, records
from reasonenv.envs.competition import INSTRUCTION, SPLITS, math, verify_latex
from reasonenv.errors import UserError, check_known
from reasonenv.tasks import Task, repeatable
from reasonenv.verify.canonical import verdict
from reasonenv.verify.numeric import parse_number

SOURCE = Source(
    "olympiadbench/OE_TO_maths_en_COMP.json", "Hothan/OlympiadBench", ("OE_TO_maths_en_COMP/train/0000.parquet",)
)


@repeatable
def olympiadbench(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """OlympiadBench; its `train` split is that of `math`. Keywords and errors as there."""
    check_known("olympiadbench split", split, SPLITS)
    if split == "train":
        return math(split="train", data=data, limit=limit)
    problems = []
    for i, record in enumerate(records(SOURCE, data)):
        if "human" not in record.text("answer_type"):
            problems.append(_problem(f"olympiadbench/{i}", record))
    return Task("OlympiadBench", split, first(problems, limit), verify_within_error, INSTRUCTION, max_tokens=2048)


def verify_within_error(text: str, problem: Problem) -> Verdict:
    """`verify_latex`; where the problem has an `error`, also a number no farther than that from the answer is right."""
    start = perf_counter()
    judged = verify_latex(text, problem)
    error, gold = parse_number(problem.meta.get("error", "")), parse_number(problem.answer)
    value = parse_number(judged.extracted or "")
    if judged.correct or error is None or gold is None or value is None or abs(value - gold) > error:
        return judged
    return verdict(Reason.CORRECT, judged.extracted, problem.answer, "math", since=start)


def _problem(id: str, record: Record) -> Problem:
    parts = [_optional(record, "context"), record.text("question")]
    unit = _optional(record, "unit").strip("$ ")
    if unit:
        parts.append(f"The unit of the answer is ${unit}$.")
    steps = [line.strip() for line in "\n".join(_texts(record, "solution")).split("\n")]
    answer = ",".join(answer.replace("$", "").strip() for answer in _texts(record, "final_answer"))
    meta = {key: _optional(record, key) for key in ("subfield", "error") if _optional(record, key)}
    return Problem(id, "\n\n".join(filter(None, parts)), answer, tuple(filter(None, steps)), meta)


def _optional(record: Record, name: str) -> str:
    return "" if record.fields.get(name) in (None, "") else record.value(name)


def _texts(record: Record, name: str) -> list[str]:
    texts = record.fields.get(name)
    if not isinstance(texts, list) or not texts:
        raise UserError(f"{record.where}: field {name!r} is {texts!r}; it must be a list of texts")
    return [Record(record.where, {name: text}).text(name) for text in texts]
