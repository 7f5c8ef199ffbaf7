"""Text and gold in, `Verdict` out, one at a time or many. Any thread may call.

Numbers and choices are compared on the spot. What needs algebra goes to the processes of `pool`, because it may hang.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.errors import UserError, check_known
from reasonenv.registry import Registry
from reasonenv.verify.algebra.lexer import MAX_TEXT
from reasonenv.verify.canonical import verdict
from reasonenv.verify.choice import compare_choice, find_choice
from reasonenv.verify.extract import find_answer
from reasonenv.verify.numeric import parse_number
from reasonenv.verify.pool import TIMEOUT, shared

KINDS = ("math", "numeric", "choice")


def grade(text: str, gold: str, kind: str = "math", extract: str = "last_number", timeout: float = TIMEOUT) -> Verdict:
    r"""Whether the answer found in `text` equals `gold`, and if it could not be told, why.

    `numeric` compares exact rational numbers (`numeric.parse_number`) and nothing else. `math` does the same where both
    are numbers; everything else that is mathematics (`\sqrt{2}`, `90^\circ`, intervals, sets, ..) is compared by
    `algebra.compare` in another process, for at most `timeout` seconds. `choice` compares letters (`choice`).
    `extract` is a policy of `extract.find_answer`; a choice has its own. A gold that cannot be read is
    `unparsable_gold` whatever the text says: nobody could have been right.
    Raises `UserError` for an unknown kind or policy, or a `timeout` that is not positive.
    """
    start = perf_counter()
    _check(kind, timeout)
    extracted, reason = _at_once(text, gold, kind, extract)
    if reason is None:
        reason = _in_the_pool(extracted, gold, timeout)
    return verdict(reason, extracted, gold, kind, since=start, timeout=timeout)


def grade_many(
    texts: Sequence[str],
    golds: Sequence[str],
    kind: str = "math",
    extract: str = "last_number",
    workers: int | None = None,
    timeout: float = TIMEOUT,
) -> list[Verdict]:
    """`grade` of each text against its gold, in order; what needs algebra runs in up to `workers` processes at once.

    `workers` is at most, and without it exactly, the number of processors. Raises `UserError` as `grade` does, and if
    there are not as many texts as golds.
    """
    _check(kind, timeout)
    if len(texts) != len(golds):
        raise UserError(f"texts: {len(texts)} of them, but {len(golds)} golds; give one gold for each text")
    if workers is not None and workers < 1:
        raise UserError(f"workers={workers} must be at least 1")

    verdicts, waiting = dict[int, Verdict](), list[int]()
    for index, (text, gold) in enumerate(zip(texts, golds, strict=True)):
        start = perf_counter()
        extracted, reason = _at_once(text, gold, kind, extract)
        if reason is None:
            waiting.append(index)
        else:
            verdicts[index] = verdict(reason, extracted, gold, kind, since=start, timeout=timeout)

    def finish(index: int) -> None:
        verdicts[index] = grade(texts[index], golds[index], kind, extract, timeout)

    if waiting:
        threads = min(workers or shared().workers, shared().workers, len(waiting))
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(finish, waiting))
    return [verdicts[index] for index in range(len(texts))]


def verify_math(text: str, problem: Problem) -> Verdict:
    """The verifier of every task whose answer is one number: `grade` against the problem's answer."""
    return grade(text, problem.answer, kind="numeric")


def _graded(kind: str, text: str, problem: Problem) -> Verdict:
    return grade(text, problem.answer, kind)


VERIFIERS = Registry[Callable[[str, Problem], Verdict]](
    "verifier",
    "reasonenv.verifiers",
    {
        **{kind: partial(_graded, kind) for kind in KINDS},
        "code": "reasonenv.verify.sandbox.unit_tests:verify_code",
    },
)


def _check(kind: str, timeout: float) -> None:
    check_known("kind", kind, KINDS)
    if not timeout > 0:
        raise UserError(f"timeout={timeout} must be above 0 seconds")


def _at_once(text: str, gold: str, kind: str, extract: str) -> tuple[str | None, Reason | None]:
    """The answer found, and the reason unless it takes algebra to tell."""
    if kind == "choice":
        choice = find_choice(text)
        return choice, compare_choice(choice, gold)
    extracted = find_answer(text, extract)
    expected = parse_number(gold)
    if extracted == gold and expected is not None:
        return extracted, Reason.CORRECT
    value = parse_number(extracted or "")
    if expected is not None and value is not None:
        return extracted, Reason.of(value == expected)
    if expected is None and (kind == "numeric" or not 0 < len(gold) <= MAX_TEXT):
        return extracted, Reason.UNPARSABLE_GOLD
    if extracted is None and expected is not None:
        return extracted, Reason.NO_ANSWER
    if kind == "numeric" or (extracted is not None and len(extracted) > MAX_TEXT):
        return extracted, Reason.UNPARSABLE_ANSWER
    return extracted, None


def _in_the_pool(extracted: str | None, gold: str, timeout: float) -> Reason:
    reason = shared().compare(extracted or "", gold, timeout)
    if extracted is None and reason is not Reason.UNPARSABLE_GOLD:
        return Reason.NO_ANSWER
    return reason
