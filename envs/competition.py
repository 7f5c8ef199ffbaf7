r"""MATH, MATH500 and AIME: competition mathematics with answers in LaTeX (Hendrycks et al. 2021, arXiv:2103.03874).

MATH      github.com/hendrycks/math, licence MIT; 7,500 train and 5,000 test problems in 7 subjects and 5 levels.
          Hub copy: EleutherAI/hendrycks_math. The original archive has one file a problem; as `math/train.jsonl` and
          `math/test.jsonl` it is read with `jq -c . MATH/train/*/*.json > math/train.jsonl` and the same for test.
MATH500   500 of the 5,000 test problems (Lightman et al. 2023, arXiv:2305.20050), licence MIT; `math500/test.jsonl`,
          hub HuggingFaceH4/MATH-500. Its `train` split is that of MATH, which shares no problem with it.
AIME      the 90 problems of 2022, 2023 and 2024; answers are integers 0 to 999. `aime/train.jsonl`, hub
          AI-MO/aimo-validation-aime, from the wiki of artofproblemsolving.com; the problems are (c) MAA. `test` is the
          year 2024 (30 problems), `train` the years before (60).

    question   What is the sum of the roots of $2x^2 - 3x + 1$?            (made up; the format is MATH's)
    steps      By Vieta's formulas the sum is $\frac{3}{2}$, so the answer is $\boxed{\frac{3}{2}}$.
    answer     \frac{3}{2}

MATH and AIME give the answer in the last `\boxed` of the solution. The lines of the solution are the steps.
"""

from __future__ import annotations

import re

from reasonenv.core import Problem, Verdict
from reasonenv.data.files import DataPath, Record, Source, first, records
from reasonenv.data.golds import marked_answer
from reasonenv.errors import UserError, check_known
from reasonenv.tasks import Task
from reasonenv.verify.grade import grade

SPLITS = ("test", "train")
INSTRUCTION = r"Think step by step. End with the final answer in \boxed{}."
SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
MATH500 = Source("math500/test.jsonl", "HuggingFaceH4/MATH-500", ("default/test/0000.parquet",))
AIME = Source("aime/train.jsonl", "AI-MO/aimo-validation-aime", ("default/train/0000.parquet",))

_YEAR = re.compile(r"/(20[0-9]{2})_AIME")


def math(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """MATH, split `train` or `test`; `data` as in `reasonenv.data.records`; `limit` keeps the first problems only.

    Raises `UserError` for an unknown split, missing data, a broken record or a limit below 1.
    """
    check_known("split", split, SPLITS)
    files = tuple(f"{subject}/{split}/0000.parquet" for subject in SUBJECTS)
    source = Source(f"math/{split}.jsonl", "EleutherAI/hendrycks_math", files)
    problems = [_problem(f"math/{split}/{i}", record) for i, record in enumerate(records(source, data))]
    return Task("MATH", split, first(problems, limit), verify_latex, INSTRUCTION, max_tokens=1024)


def math500(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """MATH500; its `train` split is that of `math`. Keywords and errors as there."""
    check_known("split", split, SPLITS)
    if split == "train":
        return math(split="train", data=data, limit=limit)
    problems = [_problem(f"math500/{i}", record) for i, record in enumerate(records(MATH500, data))]
    return Task("MATH500", split, first(problems, limit), verify_latex, INSTRUCTION, max_tokens=1024)


def aime(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """AIME, split by year as above. Keywords and errors as in `math`."""
    check_known("split", split, SPLITS)
    dated = [(_year(record), _problem(f"aime/{i}", record)) for i, record in enumerate(records(AIME, data))]
    problems = [problem for year, problem in dated if (year >= 2024) == (split == "test")]
    return Task("AIME", split, first(problems, limit), verify_latex, INSTRUCTION, max_tokens=2048)


def verify_latex(text: str, problem: Problem) -> Verdict:
    """`grade` of mathematics: numbers exactly, the rest by algebra in another process."""
    return grade(text, problem.answer)


def _year(record: Record) -> int:
    match = _YEAR.search(record.text("url"))
    if match is None:
        raise UserError(f"{record.where}: field 'url' is {record.text('url')!r}; it must name a year: 2024_AIME_I")
    return int(match[1])


def _problem(id: str, record: Record) -> Problem:
    solution = record.text("solution")
    answer = record.text("answer") if "answer" in record.fields else _marked(solution, record.where)
    steps = tuple(line.strip() for line in solution.split("\n") if line.strip())
    known = ("level", "type", "subject", "unique_id", "url")
    meta = {key: record.fields[key] for key in known if key in record.fields}
    return Problem(id, record.text("problem"), " ".join(answer.split()), steps, meta)


def _marked(solution: str, where: str) -> str:
    answer = marked_answer(solution)
    if answer is None:
        raise UserError(
            f"{where}: field 'solution' must hold its answer in \\boxed{{..}}; it ends in {solution[-80:]!r}"
        )
    return answer
