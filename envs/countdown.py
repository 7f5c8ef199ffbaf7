"""Countdown: reach a target with the given numbers and + - * /, made on demand, with a verifier of its own.

Source: made by this file, after the numbers round of the television game; no data to find and no licence to keep.
Size: as many as are asked for, up to the number of different questions.

    question   Use the numbers 3, 7, 25 and + - * / with brackets to make 154. Use each number exactly once.
    steps      25-3=22 | 7*22=154
    answer     7*(25-3)        one solution; any other is as correct

Problem i is a pure function of (seed, split, i) and the knobs. A hash of the question decides which split it is in (one
in ten is `test`), so the splits share none, whatever their seeds and sizes, and within a split no question comes twice,
see `data.procedural`. The numbers have no order, and a question writes them from small to large: the same numbers
with the same target are the same question.

A response is correct if its marked answer is an expression of the given numbers whose exact value is the target. It is
read by this grammar and nothing else, in rational arithmetic, and no text is ever executed:

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
from reasonenv.errors import UserError, unknown
from reasonenv.seeding import derive_seed
from reasonenv.tasks import Task
from reasonenv.verify.canonical import verdict
from reasonenv.verify.extract import find_answer

SIZES = {"train": 10_000, "test": 1_000}
EXAMPLES = 4  # training problems that a few-shot prompt shows
MAX_LENGTH = 200  # characters of an answer; it bounds the depth of brackets and the size of every number
INSTRUCTION = "Think step by step. End with the expression on its own line, after ####."

_SPELLINGS = (("\\times", "*"), ("\\cdot", "*"), ("\\div", "/"), ("×", "*"), ("·", "*"), ("÷", "/"), ("−", "-"))
_TOKEN = re.compile(r"\s*([0-9]+|[-+*/()])", re.ASCII)


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
    as there are, up to 10,000 in `train` and 1,000 in `test`. Raises `UserError` for a knob out of its range, and for a
    size above the number of questions.
    """
    if split not in SIZES:
        raise unknown("countdown split", split, SIZES)
    for name, value, low, high in (
        ("numbers", numbers, 2, 6),
        ("largest", largest, 10, 10_000),
        ("target", target, 10, 10_000),
    ):
        if not low <= value <= high:
            raise UserError(f"{name} is {value}; it must be {low} to {high}")

    def problems(split: str, size: int | None, default: int) -> Procedural:
        return Procedural(
            name="Countdown",
            ids=f"countdown/{split}/{seed}",
            split=split,
            draw=partial(_draw, (seed, "countdown", split), numbers, largest, target, use_all),
            size=size,
            default=default,
            remedy="raise numbers, largest or target",
        )

    shown = tuple(problems("train", None, EXAMPLES))
    wanted = problems(split, size, SIZES[split])
    return Task("Countdown", split, wanted, verify_countdown, INSTRUCTION, 128, shown)


def _draw(
    stream: tuple[int | str, ...], numbers: int, largest: int, target: int, use_all: bool, index: int
) -> Candidate | None:
    """Random numbers and what they are combined to; None where that comes to nothing."""
    rng = Random(derive_seed(*stream, index))  # many single draws: ten times faster than numpy's
    given = [rng.randint(1, largest) for _ in range(numbers)]
    made = _combine(given if use_all else given[: rng.randint(2, numbers)], target, rng)
    if made is None:
        return None
    value, expression, steps = made
    listed = ", ".join(map(str, sorted(given)))
    rule = "exactly once" if use_all else "at most once"
    question = f"Use the numbers {listed} and + - * / with brackets to make {value}. Use each number {rule}."
    meta = {"numbers": given, "target": value, "use_all": use_all}
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
        pieces.append((values[operator], f"({left}{operator}{right})" if pieces else f"{left}{operator}{right}"))
    return *pieces[0], tuple(steps)


def verify_countdown(text: str, problem: Problem) -> Verdict:
    """Whether the marked answer makes the target of the given numbers. `= 46` behind it is read over.

    Two right answers are the same only if they are written alike: telling apart solutions is what Countdown is for.
    """
    start = perf_counter()
    answer = find_answer(text, "marked")
    reason = Reason.NO_ANSWER if answer is None else _judge(answer, problem)
    written = None if answer is None else "".join(_plain(answer).split())
    return verdict(reason, answer, problem.answer, since=start, written=written)


def _judge(answer: str, problem: Problem) -> Reason:
    found = evaluate(_plain(answer))
    if found is None:
        return Reason.UNPARSABLE_ANSWER
    value, used = found
    left, extra = Counter(problem.meta["numbers"]), Counter(used)
    allowed = extra == left if problem.meta["use_all"] else extra <= left
    return Reason.of(allowed and value == problem.meta["target"])


def _plain(answer: str) -> str:
    """The expression in the signs of the grammar, without `= 46` behind it."""
    expression = answer.partition("=")[0]
    for spelling, plain in _SPELLINGS:
        expression = expression.replace(spelling, plain)
    return expression.strip(" \t$`")


def evaluate(expression: str) -> tuple[Fraction, list[int]] | None:
    """The exact value and the numbers of an expression of the grammar above; None if it is none, or divides by 0."""
    tokens = [match[1] for match in _TOKEN.finditer(expression)]
    if len(expression) > MAX_LENGTH or "".join(tokens) != "".join(expression.split()):
        return None
    tokens.append("")  # the end, which no rule takes
    numbers: list[int] = []

    def sum_() -> Fraction:
        value = term()
        while tokens[0] in ("+", "-"):
            value = value + term() if tokens.pop(0) == "+" else value - term()
        return value

    def term() -> Fraction:
        value = atom()
        while tokens[0] in ("*", "/"):
            value = value * atom() if tokens.pop(0) == "*" else value / atom()
        return value

    def atom() -> Fraction:
        token = tokens.pop(0)
        if token == "(":
            value = sum_()
            if tokens.pop(0) != ")":
                raise ValueError("an open bracket")
            return value
        numbers.append(int(token))  # anything but digits is a ValueError
        return Fraction(numbers[-1])

    try:
        value = sum_()
    except (ValueError, ZeroDivisionError, IndexError):
        return None
    return (value, numbers) if tokens == [""] else None
