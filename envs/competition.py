r"""MATH, AIME and their like: competition mathematics with answers in LaTeX (Hendrycks et al. 2021, arXiv:2103.03874).

MATH      github.com/hendrycks/math, licence MIT; 7,500 train and 5,000 test problems in 7 subjects and 5 levels.
          Hub copy: EleutherAI/hendrycks_math. The original archive has one file a problem; as `math/train.jsonl` and
          `math/test.jsonl` it is read with `jq -c . MATH/train/*/*.json > math/train.jsonl` and the same for test.
MATH500   500 of the 5,000 test problems (Lightman et al. 2023, arXiv:2305.20050), licence MIT; `math500/test.jsonl`,
          hub HuggingFaceH4/MATH-500.
AIME      the 90 problems of 2022, 2023 and 2024; answers are integers 0 to 999. `aime/train.jsonl`, hub
          AI-MO/aimo-validation-aime, from the wiki of artofproblemsolving.com; the problems are (c) MAA. `test` is the
          year 2024 (30 problems), `train` the years before (60).
AIME2025  30 problems; `aime2025/test.jsonl`, hub MathArena/aime_2025, licence CC BY-NC-SA 4.0.
AIME2026  30 problems; `aime2026/test.jsonl`, hub MathArena/aime_2026, licence CC BY-NC-SA 4.0.
AMC23     40 problems of the AMC 12 of 2023, reworded to be answered by a number; `amc23/test.jsonl`, hub
          math-ai/amc23; the problems are (c) MAA.
Minerva   272 problems of university courses in science (Lewkowycz et al. 2022, arXiv:2206.14858), from MIT
          OpenCourseWare, licence CC BY-NC-SA 4.0; `minerva_math/test.jsonl`, hub math-ai/minervamath.

    question   What is the sum of the roots of $2x^2 - 3x + 1$?            (made up; the format is MATH's)
    steps      By Vieta's formulas the sum is $\frac{3}{2}$, so the answer is $\boxed{\frac{3}{2}}$.
    answer     \frac{3}{2}

A record has a `problem` or `question`, an `answer` or a `solution` with the answer in its last `\boxed`, or both. The
lines of the solution are the steps. AIME needs the `year`, or a `url` that names it. MATH500, AIME2025, AIME2026, AMC23
and Minerva were published as tests alone: their `train` split is that of MATH.
"""

from __future__ import annotations

import re

from reasonenv.core import Problem, Verdict
from reasonenv.data.files import DataPath, Record, Source, first, records
from reasonenv.data.golds import marked_answer
from reasonenv.errors import UserError, check_known
from reasonenv.tasks import Task, repeatable
from reasonenv.verify.grade import grade
from reasonenv.verify.numeric import parse_number

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
AIME2025 = Source("aime2025/test.jsonl", "MathArena/aime_2025", ("default/train/0000.parquet",))
AIME2026 = Source("aime2026/test.jsonl", "MathArena/aime_2026", ("default/train/0000.parquet",))
AMC23 = Source("amc23/test.jsonl", "math-ai/amc23", ("default/test/0000.parquet",))
MINERVA = Source("minerva_math/test.jsonl", "math-ai/minervamath", ("default/test/0000.parquet",))

_YEAR = re.compile(r"/(20[0-9]{2})_AIME")


@repeatable
def math(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """MATH, split `train` or `test`; `data` as in `reasonenv.data.records`; `limit` keeps the first problems only.

    Raises `UserError` for an unknown split, missing data, a broken record or a limit below 1.
    """
    check_known("split", split, SPLITS)
    files = tuple(f"{subject}/{split}/0000.parquet" for subject in SUBJECTS)
    source = Source(f"math/{split}.jsonl", "EleutherAI/hendrycks_math", files)
    problems = [_problem(f"math/{split}/{i}", record) for i, record in enumerate(records(source, data))]
    return Task("MATH", split, first(problems, limit), verify_latex, INSTRUCTION, max_tokens=1024)


@repeatable
def math500(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """MATH500; its `train` split is that of `math`. Keywords and errors as there."""
    return _test_only("MATH500", MATH500, split, data, limit, max_tokens=1024)


@repeatable
def aime2025(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """AIME of 2025; its `train` split is that of `math`. Keywords and errors as there."""
    return _test_only("AIME2025", AIME2025, split, data, limit, max_tokens=2048)


@repeatable
def aime2026(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """AIME of 2026; its `train` split is that of `math`. Keywords and errors as there."""
    return _test_only("AIME2026", AIME2026, split, data, limit, max_tokens=2048)


@repeatable
def amc23(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """AMC 12 of 2023; its `train` split is that of `math`. Keywords and errors as there."""
    return _test_only("AMC23", AMC23, split, data, limit, max_tokens=2048)


@repeatable
def minerva(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """Minerva's problems of university courses; its `train` split is that of `math`. Keywords and errors as there."""
    return _test_only("Minerva", MINERVA, split, data, limit, max_tokens=1024)


def _test_only(name: str, source: Source, split: str, data: DataPath, limit: int | None, *, max_tokens: int) -> Task:
    check_known("split", split, SPLITS)
    if split == "train":
        return math(split="train", data=data, limit=limit)
    problems = [_problem(f"{name.lower()}/{i}", record) for i, record in enumerate(records(source, data))]
    return Task(name, split, first(problems, limit), verify_latex, INSTRUCTION, max_tokens)


@repeatable
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
    if "year" in record.fields:
        return int(record.number("year"))
    match = _YEAR.search(record.text("url"))
    if match is None:
        raise UserError(f"{record.where}: field 'url' is {record.text('url')!r}; it must name a year: 2024_AIME_I")
    return int(match[1])


def _problem(id: str, record: Record) -> Problem:
    question = record.text("question" if "question" in record.fields else "problem")
    solution = ""
    if record.fields.get("solution") is not None or record.fields.get("answer") is None:
        solution = record.text("solution")
    steps = tuple(line.strip() for line in solution.split("\n") if line.strip())
    known = ("level", "type", "subject", "unique_id", "url")
    meta = {key: record.fields[key] for key in known if key in record.fields}
    return Problem(id, question, _answer(record, solution), steps, meta)


def _answer(record: Record, solution: str) -> str:
    answer = record.fields.get("answer")
    if answer is None:
        answer = _marked(solution, record.where)
    elif not isinstance(answer, str):
        return str(parse_number(record.number("answer")))  # 27.0 is 27
    else:
        answer = record.text("answer")
    return " ".join(answer.split())


def _marked(solution: str, where: str) -> str:
    answer = marked_answer(solution)
    if answer is None:
        raise UserError(
            f"{where}: field 'solution' must hold its answer in \\boxed{{..}}; it ends in {solution[-80:]!r}"
        )
    return answer
