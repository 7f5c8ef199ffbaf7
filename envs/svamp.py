"""SVAMP: short word problems, made by varying the wording of easier ones (Patel et al. 2021, arXiv:2103.07191).

Source: github.com/arkilpatel/SVAMP, `SVAMP.json` as published; licence MIT.
Size: 1,000 problems of one or two operations; every answer is an integer.

    question   Paco had 26 salty cookies and 17 sweet cookies. ... How many salty cookies did Paco have left?
    steps      26 - 9 = 17
    answer     17

Split. The file has none, and copies of it are commonly cut 700 / 300; so is this one, but by scene. The file is
shuffled: no two neighbours share a body, yet 345 problems have the body of an earlier one up to its numbers (655 scenes
for 1,000 problems), and a cut in file order would leave 122 scenes on both sides. So all problems of a scene stay
together. Scenes go to `train` in the order in which they first appear, each if it still fits into 70 % of the problems;
the others are `test`. That gives 700 and 300 with this mix (file order, cut at 700, in brackets):

             subtraction   addition    division    multiplication
    train    395 (364)     129 (140)   100 (118)   76 (78)
    test     136 (167)      66 (55)     66 (48)    32 (30)

Steps. One line for each operation of the equation, inner brackets first, every line true: ( ( 28 + 82 ) - 30 ) reads
"28 + 82 = 110", "110 - 30 = 80". Two problems have no steps: chal-555, whose equation has no operation, and chal-680,
whose equation gives 5 while its published answer is 1. The published answer is kept: scores stay comparable.
"""

from __future__ import annotations

import re
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

from reasonenv.core import Problem
from reasonenv.data.files import DataPath, Record, Source, first, records
from reasonenv.errors import UserError, check_known
from reasonenv.tasks import Task, repeatable
from reasonenv.verify.algebra.parse import arithmetic
from reasonenv.verify.grade import verify_math
from reasonenv.verify.numeric import parse_number

SPLITS = ("test", "train")
SOURCE = Source("svamp/SVAMP.json", "ChilleD/SVAMP", ("default/train/0000.parquet", "default/test/0000.parquet"))

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_VALUE = re.compile(r"-?[0-9]+(?:[./][0-9]+)?")
_BRACKET = re.compile(rf"\( ({_VALUE.pattern}) ([-+*/]) ({_VALUE.pattern}) \)")


@repeatable
def svamp(*, split: str = "train", data: DataPath = None, limit: int | None = None) -> Task:
    """SVAMP, split `train` or `test` as above; `data` as in `reasonenv.data.records`; `limit` keeps the first ones.

    Raises `UserError` for an unknown split, missing data, a broken record or a limit below 1.
    """
    check_known("svamp split", split, SPLITS)
    # Copies of the data set may be cut and ordered in another way; the numbers in the ids are the original order.
    ordered = sorted(records(SOURCE, data), key=_position)
    train = _train(ordered)
    problems = list(map(_problem, ordered))  # of both splits: a broken record is an error, whichever it falls into
    chosen = [problem for i, problem in enumerate(problems) if (i in train) == (split == "train")]
    # For few-shot prompts: the shortest one-step problem of the two commonest operations, the commoner one last.
    shown = [p for i, p in sorted(enumerate(problems), key=lambda at: -len(at[1].question)) if i in train]
    shortest = {p.meta["type"]: p for p in shown if len(p.steps) == 1}
    examples = tuple(shortest[kind] for kind in ("Addition", "Subtraction") if kind in shortest)
    return Task("SVAMP", split, first(chosen, limit), verify_math, max_tokens=128, examples=examples)


def _position(record: Record) -> int:
    name, dash, number = record.text("ID").partition("-")
    if name != "chal" or not dash or not re.fullmatch("[0-9]{1,9}", number):
        raise UserError(f"{record.where}: field 'ID' is {record.text('ID')!r}; it must be 'chal-' and a number")
    return int(number)


def _train(ordered: list[Record]) -> set[int]:
    scenes: dict[str, list[int]] = defaultdict(list)
    for i, record in enumerate(ordered):
        scenes[_NUMBER.sub("#", record.text("Body"))].append(i)
    size, train = len(ordered) * 7 // 10, set[int]()
    for members in scenes.values():
        if len(train) + len(members) <= size:
            train.update(members)
    return train


def _problem(record: Record) -> Problem:
    answer = parse_number(str(record.fields.get("Answer")))
    if answer is None:
        raise UserError(f"{record.where}: field 'Answer' is {record.fields.get('Answer')!r}; it must be one number")
    equation = record.text("Equation")
    value, steps = _solve(equation, record.where)
    if value != answer:
        steps = ()
    question = f"{record.text('Body')} {record.text('Question')}"
    meta = {"equation": equation, "type": record.text("Type")}
    return Problem(f"svamp/{record.text('ID')}", question, _written(answer), steps, meta)


def _solve(equation: str, where: str) -> tuple[Fraction, tuple[str, ...]]:
    """The value of a fully bracketed equation and its operations in the order in which brackets close."""
    rest, steps = " ".join(equation.split()), list[str]()
    while bracket := _BRACKET.search(rest):
        left, operator, right = bracket.groups()
        value = arithmetic(f"({left}){operator}({right})")
        if value is None:
            break  # a division by 0: its bracket stays, so the equation is refused below
        steps.append(f"{_written(left)} {operator} {_written(right)} = {_written(value)}")
        rest = f"{rest[: bracket.start()]}{value}{rest[bracket.end() :]}"
    if not _VALUE.fullmatch(rest):
        raise UserError(f"{where}: field 'Equation' is {equation!r}; it must read like ( ( 28.0 + 82.0 ) - 30.0 )")
    return Fraction(rest), tuple(steps)


def _written(value: Fraction | str) -> str:
    """51 for 51.0, 2.5 for 5/2, and 1/3 where no decimal is exact."""
    value = Fraction(value)
    decimal = Decimal(value.numerator) / Decimal(value.denominator)
    if Fraction(decimal) != value:
        return str(value)
    return format(decimal, "f")
