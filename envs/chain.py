"""Chain: arithmetic in several steps, made on demand, with settings for its difficulty.

Source: made by this file, so there is no data to find and no licence to keep. Size: as many as are asked
for, up to the number of different questions; all in all there are (9 * 10^(digits - 1))^operands times one for each
choice of operators.

    question   (7+5)*3=?
    steps      7+5=12 | 12*3=36
    answer     36

An expression is built from the left, one operation at a time, with brackets wherever precedence would read it
otherwise: its value by the rules of arithmetic is also its value from left to right. Operands have exactly `digits`
digits and no leading zero; values on the way may be negative.

Problem i is a pure function of (seed, split, i) and the settings. Whether a question belongs to `test` is decided by a
hash of the question alone (one in ten does), so `train` and `test` share no question, whatever their seeds and sizes.
Within a split no question comes twice: the seed chooses an order of all questions, see `data.procedural`. With the
default settings there are 9^3 * 3^2 = 6,561 in both splits.
"""

from __future__ import annotations

from functools import partial

from reasonenv.core import Problem
from reasonenv.data.procedural import Candidate, Procedural
from reasonenv.errors import UserError, check_known, check_range
from reasonenv.seeding import derive_seed, permuted
from reasonenv.tasks import Task, repeatable
from reasonenv.verify.grade import verify_math

SIZES = {"train": 10_000, "test": 1_000}
OPERATORS = "+-*"
EXAMPLES = 4  # training problems that a few-shot prompt shows
INSTRUCTION = "Work left to right, one operation a line, then #### and the result."


@repeatable
def chain(
    *,
    split: str = "train",
    size: int | None = None,
    seed: int = 0,
    operands: int = 3,
    digits: int = 1,
    operators: str = OPERATORS,
) -> Task:
    """Chains of `operands` numbers (2..12) of `digits` digits (1..6), joined by `operators`, drawn from "+-*".

    `size` problems: by default as many as there are, up to 10,000 in `train` and 1,000 in `test`. Raises `UserError`
    for a setting out of its range, and for a size above the number of questions.
    """
    check_known("chain split", split, SIZES)
    check_range("operands", operands, 2, 12)
    check_range("digits", digits, 1, 6)
    if not operators or not set(operators) <= set(OPERATORS) or len(set(operators)) < len(operators):
        raise UserError(f"operators is {operators!r}; it must name one or more of {OPERATORS!r}, each once")
    used = "".join(operator for operator in OPERATORS if operator in operators)  # their order means nothing

    problems = Procedural(
        name="Chain",
        prefix="chain",
        seed=seed,
        split=split,
        draw=partial(_draw, seed, operands, digits, used),
        draws=_questions(operands, digits, used),
        size=size,
        default=SIZES[split],
        remedy="raise operands or digits, or add operators",
    )
    budget = _longest_solution(operands, digits, used) + 1
    return Task("Chain", split, problems, verify_math, INSTRUCTION, budget, problems.examples(EXAMPLES))


def _questions(operands: int, digits: int, operators: str) -> int:
    """How many questions there are in both splits."""
    return int((9 * 10 ** (digits - 1)) ** operands * len(operators) ** (operands - 1))


def _draw(seed: int, operands: int, digits: int, operators: str, split: str, index: int) -> Candidate:
    """Question `index` in an order of all questions that the seed and the split choose."""
    least, choices = 10 ** (digits - 1), 9 * 10 ** (digits - 1)
    rest = permuted(index, _questions(operands, digits, operators), derive_seed(seed, "chain", split))
    numbers, signs = [], []
    for _ in range(operands):
        rest, number = divmod(rest, choices)
        numbers.append(least + number)
    for _ in range(operands - 1):
        rest, sign = divmod(rest, len(operators))
        signs.append(operators[sign])
    question, steps, value = _work(numbers, signs)
    return question, lambda id: Problem(id, question, str(value), steps)


def _work(numbers: list[int], operators: list[str]) -> tuple[str, tuple[str, ...], int]:
    """The question, its steps and its value."""
    expression, value, steps = str(numbers[0]), numbers[0], []
    weak = False  # the last operation of the expression binds less than *
    for operator, number in zip(operators, numbers[1:], strict=True):
        if weak and operator == "*":
            expression = f"({expression})"
        expression += f"{operator}{number}"
        weak = operator != "*"
        result = {"+": value + number, "-": value - number, "*": value * number}[operator]
        steps.append(f"{value}{operator}{number}={result}")
        value = result
    return f"{expression}=?", tuple(steps), value


def _longest_solution(operands: int, digits: int, operators: str) -> int:
    """A bound on the characters of a reference solution: each value at its largest, signed if there is a minus."""
    largest = value = 10**digits - 1
    sign, length, width = int("-" in operators), 0, digits
    for _ in range(operands - 1):
        value = value * largest if "*" in operators else value + largest
        step = width + 1 + digits + 1  # "7+5="
        width = sign + len(str(value))
        length += step + width + 1  # and a line break
    return length + len("#### ") + width
