"""Text and gold in, `Verdict` out. Nothing is global and nothing waits: any thread may call."""

from __future__ import annotations

from time import perf_counter

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.errors import unknown
from reasonenv.verify.extract import find_answer
from reasonenv.verify.numeric import parse_number

KINDS = ("math",)


def grade(text: str, gold: str, kind: str = "math", extract: str = "last_number") -> Verdict:
    """Whether the answer found in `text` equals `gold`, and if it could not be told, why.

    `math` compares exact rational numbers (`numeric.parse_number`); `extract` is a policy of `extract.find_answer`. A
    gold that is no number is `unparsable_gold` whatever the text says: nobody could have been right.
    Raises `UserError` for an unknown kind or policy.
    """
    start = perf_counter()
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    extracted = find_answer(text, extract)
    reason = _compare(extracted, gold)
    return Verdict(reason is Reason.CORRECT, reason, extracted, gold, (perf_counter() - start) * 1e3)


def verify_math(text: str, problem: Problem) -> Verdict:
    """The verifier of every task whose answer is one number: `grade` against the problem's answer."""
    return grade(text, problem.answer)


def _compare(extracted: str | None, gold: str) -> Reason:
    expected = parse_number(gold)
    if expected is None:
        return Reason.UNPARSABLE_GOLD
    if extracted is None:
        return Reason.NO_ANSWER
    value = parse_number(extracted)
    if value is None:
        return Reason.UNPARSABLE_ANSWER
    return Reason.CORRECT if value == expected else Reason.WRONG
