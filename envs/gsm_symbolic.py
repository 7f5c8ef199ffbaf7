"""GSM-Symbolic: GSM8K's test problems with names and numbers drawn anew (Mirzadeh et al. 2024, arXiv:2410.05229).

Source: github.com/apple/ml-gsm-symbolic, `GSM_symbolic.jsonl`, `GSM_p1.jsonl` and `GSM_p2.jsonl` in a folder
`gsm_symbolic`, hub apple/GSM-Symbolic; licence CC BY-NC-ND 4.0. Size: 100 templates x 50 instances; P1 (one clause
more) 5,000 problems and P2 (two more) 2,500. Questions and solutions read as GSM8K's do.

    question   Ann fills 3 trays of 12 muffins and eats 4. How many are left?          (made up; the format is GSM8K's)
    steps      There are 3*12=36 muffins. | So 36-4=32 are left.
    answer     32

Split. Published as a test set. One template in five is held out as `test` here, by a hash of the original problem's
number, so that no template is on both sides; to report the published score, evaluate `split=all`. The templates are
made from GSM8K's test split: training on them spoils that.
"""

from __future__ import annotations

from reasonenv.data.files import DataPath, Source, first, records
from reasonenv.envs.gsm8k import read_problem
from reasonenv.errors import check_known
from reasonenv.tasks import Task, in_test, repeatable
from reasonenv.verify.grade import verify_math

SPLITS = ("all", "test", "train")
VARIANTS = {"main": "GSM_symbolic.jsonl", "p1": "GSM_p1.jsonl", "p2": "GSM_p2.jsonl"}


@repeatable
def gsm_symbolic(
    *, split: str = "train", variant: str = "main", data: DataPath = None, limit: int | None = None
) -> Task:
    """GSM-Symbolic `main`, `p1` or `p2`; `data` as in `reasonenv.data.records`; `limit` keeps the first problems only.

    Raises `UserError` for an unknown split or variant, missing data, a broken record or a limit below 1.
    """
    check_known("gsm_symbolic split", split, SPLITS)
    check_known("gsm_symbolic variant", variant, VARIANTS)
    source = Source(f"gsm_symbolic/{VARIANTS[variant]}", "apple/GSM-Symbolic", (f"{variant}/test/0000.parquet",))
    problems = []
    for i, record in enumerate(records(source, data)):
        held_out = in_test(record.number("original_id"), one_in=5)
        if split == "all" or held_out == (split == "test"):
            problems.append(read_problem(f"gsm_symbolic/{variant}/{i}", record))
    return Task("GSMSymbolic", split, first(problems, limit), verify_math, max_tokens=256)
