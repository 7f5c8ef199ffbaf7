"""Countdown: reach a target with the given numbers and + - * /, made on demand, with a verifier of its own.

Source: made by this file, after the numbers round of the television game; no data to find and no licence to keep.
Size: as many as are asked for, up to the number of different questions.

    question   Use the numbers 3, 7, 25 and + - * / with brackets to make 154. Use each number exactly once.
    steps      25-3=22 | 7*22=154
    answer     7*(25-3)        one solution; any other is as correct

Problem i is a pure function of (seed, split, i) and the settings. A hash of the question decides its split (one in ten
is `test`), so the splits share none, whatever their seeds and sizes, and within a split no question comes twice,
see `data.procedural`. The numbers have no order, and a question writes them from small to large: the same numbers
with the same target are the same question.

A response is correct if its marked answer is an expression of the given numbers whose exact value is the target. It is
read by this part of the verifier's grammar, in rational arithmetic, and no text is ever executed:

    sum = term (("+" | "-") term)*    term = atom (("*" | "/") atom)*    atom = digits | "(" sum ")"
"""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction
from functools import partial
from random import Random
from time import perf_counter

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.data.procedural import Candidate, Procedural
from reasonenv.errors import check_known, check_range
from reasonenv.seeding import derive_seed
from reasonenv.tasks import Task, repeatable
from reasonenv.verify.algebra.parse import arithmetic
from reasonenv.verify.canonical import verdict
from reasonenv.verify.extract import find_answer

SIZES = {"train": 10_000, "test": 1_000}
EXAMPLES = 4  # training problems that a few-shot prompt shows
MAX_LENGTH = 200  # characters of an answer; it bounds the depth of brackets and the size of every number
INSTRUCTION = "Think step by step. End with the expression on its own line, after ####."

_SPELLINGS = (("\\times", "*"), ("\\cdot", "*"), ("\\div", "/"), ("×", "*"), ("·", "*"), ("÷", "/"), ("−", "-"))
_NUMBER = re.compile("[0-9]+")
_SIGNS = re.compile(r"[0-9\s()*/+-]*", re.ASCII)
# What `parse` reads and the grammar does not: a sign, an operator at the end, a product or a mixed number without one.
_BESIDE = re.compile(r"(?:\A|[-+*/(])\s*[-+*/]|[-+*/]\s*\Z|[0-9)]\s*\(|\)\s*[0-9]|[0-9]\s+[0-9]")


@repeatable
def countdown(
    *,
    split: str = "train",
    size: int | None = None,
    seed: int = 0,
    numbers: int = 3,
    largest: int = 50,
    target: int = 100,
    use_all: bool = True,
) -> Task:
    """`numbers` numbers (2..6) of 1 to `largest`, and a target of 1 to `target`, which they can reach.

    With `use_all` each number must be used exactly once, without it at most once. `size` problems: by default as many
    as there are, up to 10,000 in `train` and 1,000 in `test`. Raises `UserError` for a setting out of its range, and
    for a size above the number of questions.
    """
    check_known("countdown split", split, SIZES)
    check_range("numbers", numbers, 2, 6)
    check_range("largest", largest, 10, 10_000)
    check_range("target", target, 10, 10_000)
    problems = Procedural(
        name="Countdown",
        prefix="countdown",
        seed=seed,
        split=split,
        draw=partial(_draw, seed, numbers, largest, target, use_all),
        size=size,
        default=SIZES[split],
        remedy="raise numbers, largest or target",
    )
    return Task("Countdown", split, problems, verify_countdown, INSTRUCTION, 128, problems.examples(EXAMPLES))


def _draw(
    seed: int, numbers: int, largest: int, target: int, use_all: bool, split: str, index: int
) -> Candidate | None:
    """Random numbers and what they are combined to; None where that comes to nothing."""
    rng = Random(derive_seed(seed, "countdown", split, index))  # many single draws: ten times faster than numpy's
    drawn = [rng.randint(1, largest) for _ in range(numbers)]
    used, rule = drawn, "exactly once"
    if not use_all:
        used, rule = drawn[: rng.randint(2, numbers)], "at most once"
    combined = _combine(used, target, rng)
    if combined is None:
        return None
    value, expression, steps = combined
    listed = ", ".join(map(str, sorted(drawn)))
    question = f"Use the numbers {listed} and + - * / with brackets to make {value}. Use each number {rule}."
    meta = {"numbers": drawn, "target": value, "use_all": use_all}
    return question, lambda id: Problem(id, question, expression, steps, meta)


def _combine(numbers: list[int], target: int, rng: Random) -> tuple[int, str, tuple[str, ...]] | None:
    """Numbers joined two by two, in a random order and by random operations: value, expression, steps.

    All values are whole, positive, and at most `target` at the end. None where the random choices leave no operation.
    """
    pieces, steps = [(n, str(n)) for n in numbers], []
    while len(pieces) > 1:
        (x, left), (y, right) = (pieces.pop(rng.randrange(len(pieces))) for _ in range(2))
        values = {"+": x + y, "-": x - y, "*": x * y, "/": 0 if x % y else x // y}
        limit = 10 * target if pieces else target
        possible = [operator for operator, value in values.items() if 0 < value <= limit]
        if not possible:
            return None
        operator = rng.choice(possible)
        steps.append(f"{x}{operator}{y}={values[operator]}")
        expression = f"{left}{operator}{right}"
        if pieces:
            expression = f"({expression})"
        pieces.append((values[operator], expression))
    return *pieces[0], tuple(steps)


def verify_countdown(text: str, problem: Problem) -> Verdict:
    """Whether the marked answer makes the target of the given numbers. `= 46` behind it is read over.

    Two right answers are the same only if they are written alike: telling apart solutions is what Countdown is for.
    """
    start = perf_counter()
    answer = find_answer(text, "marked")
    if answer is None:
        return verdict(Reason.NO_ANSWER, None, problem.answer, since=start)
    written = "".join(_plain(answer).split())
    return verdict(_compare(answer, problem), answer, problem.answer, since=start, written=written)


def _compare(answer: str, problem: Problem) -> Reason:
    evaluated = evaluate(_plain(answer))
    if evaluated is None:
        return Reason.UNPARSABLE_ANSWER
    value, numbers = evaluated
    available, used = Counter(problem.meta["numbers"]), Counter(numbers)
    if problem.meta["use_all"] and used != available:
        return Reason.WRONG
    return Reason.of(used <= available and value == problem.meta["target"])


def _plain(answer: str) -> str:
    """The expression in the signs of the grammar, without `= 46` behind it."""
    expression = answer.partition("=")[0]
    for spelling, plain in _SPELLINGS:
        expression = expression.replace(spelling, plain)
    return expression.strip(" \t$`")


def evaluate(expression: str) -> tuple[Fraction, list[int]] | None:
    """The exact value and the numbers of an expression of the grammar above; None if it is none, or divides by 0."""
    if len(expression) > MAX_LENGTH or not _SIGNS.fullmatch(expression) or _BESIDE.search(expression):
        return None
    value = arithmetic(expression)
    if value is None:
        return None
    return value, list(map(int, _NUMBER.findall(expression)))
