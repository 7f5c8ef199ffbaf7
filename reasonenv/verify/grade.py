"""Text and gold in, `Verdict` out, one at a time or many. Any thread may call.

Numbers, choices and words are compared on the spot. What needs algebra goes to the processes of `pool`, because it may
hang.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from time import perf_counter

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.errors import UserError, check_known
from reasonenv.registry import Registry
from reasonenv.tasks import Verifier
from reasonenv.verify.algebra.lexer import MAX_TEXT
from reasonenv.verify.canonical import verdict
from reasonenv.verify.choice import compare_choice, find_choice
from reasonenv.verify.extract import find_answer
from reasonenv.verify.marks import last_mark
from reasonenv.verify.numeric import Quantity, decimal_comma, read_quantity
from reasonenv.verify.pool import TIMEOUT, shared
from reasonenv.verify.response import final_part
from reasonenv.verify.rules import DEFAULT, Rules
from reasonenv.verify.words import NO_GOLDS, find_words, is_code, is_words, normalize, same_text, same_words

KINDS = ("math", "numeric", "choice", "text")
_LETTERS = frozenset("ABCDEFGHIJ")  # golds of one of these are choices as well as variables


def grade(
    text: str,
    gold: str,
    kind: str = "math",
    extract: str = "last_number",
    timeout: float = TIMEOUT,
    rules: Rules = DEFAULT,
) -> Verdict:
    r"""Whether the answer found in `text` equals `gold`, and if it could not be told, why.

    `numeric` compares exact rational numbers (`numeric.read_quantity`) and nothing else. `math` does the same where
    both are numbers; everything else that is mathematics (`\sqrt{2}`, `90^\circ`, intervals, sets, ..) is compared by
    `algebra.compare` in another process, for at most `timeout` seconds. `choice` compares letters (`choice`), `text`
    words (`words`). `extract` is a policy of `extract.find_answer`; choices and words have their own. `rules` say how
    close numbers must be and what units and percent signs mean. A gold that cannot be read is `unparsable_gold`
    whatever the text says, unless the answer is the same text: nobody else could have been right.
    Raises `UserError` for an unknown kind or policy, or a `timeout` that is not positive.
    """
    start = perf_counter()
    _check(kind, timeout)
    extracted, reason = _at_once(text, gold, kind, extract, rules)
    if reason is None:
        reason = _in_the_pool(extracted, _read_gold(gold)[0], timeout, rules)
    return verdict(reason, extracted, gold, kind if kind != "text" else "words", since=start, timeout=timeout)


def grade_many(
    texts: Sequence[str],
    golds: Sequence[str],
    kind: str = "math",
    extract: str = "last_number",
    workers: int | None = None,
    timeout: float = TIMEOUT,
    rules: Rules = DEFAULT,
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
        extracted, reason = _at_once(text, gold, kind, extract, rules)
        if reason is None:
            waiting.append(index)
        else:
            verdicts[index] = verdict(
                reason, extracted, gold, kind if kind != "text" else "words", since=start, timeout=timeout
            )

    def finish(index: int) -> None:
        verdicts[index] = grade(texts[index], golds[index], kind, extract, timeout, rules)

    if waiting:
        threads = min(workers or shared().workers, shared().workers, len(waiting))
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(finish, waiting))
    return [verdicts[index] for index in range(len(texts))]


def verify_math(text: str, problem: Problem) -> Verdict:
    """The verifier of every task whose answer is one number: `grade` against the problem's answer."""
    return grade(text, problem.answer, kind="numeric")


def verify_text(text: str, problem: Problem) -> Verdict:
    """The verifier of answers in words: the problem's answer, or one of the texts under `aliases` of its meta."""
    start = perf_counter()
    extracted = find_words(text)
    aliases = problem.meta.get("aliases") or ()
    if isinstance(aliases, str):
        aliases = (aliases,)
    reason = _compare_words(extracted, problem.answer, tuple(aliases))
    return verdict(reason, extracted, problem.answer, "words", since=start)


def _graded(kind: str, text: str, problem: Problem, rules: Rules = DEFAULT) -> Verdict:
    return grade(text, problem.answer, kind, rules=rules)


VERIFIERS = Registry[Verifier](
    "verifier",
    "reasonenv.verifiers",
    {
        **{kind: partial(_graded, kind) for kind in KINDS if kind != "text"},
        "text": verify_text,
        "code": "reasonenv.verify.sandbox.unit_tests:verify_code",
    },
)


def verifier_of(kind: str, rules: Rules = DEFAULT) -> Verifier:
    """The verifier of a kind under `rules`. Raises `UserError` for rules of a kind that compares no numbers."""
    if rules == DEFAULT:
        return VERIFIERS.find(kind)
    if kind not in ("math", "numeric"):
        raise UserError(f"rules apply to the kinds math and numeric, not to {kind}; leave them out")
    return partial(_graded, kind, rules=rules)


def _check(kind: str, timeout: float) -> None:
    check_known("kind", kind, KINDS)
    if not timeout > 0:
        raise UserError(f"timeout={timeout} must be above 0 seconds")


@lru_cache(maxsize=16_384)  # a gold is read at every sample of its problem
def _read_gold(gold: str) -> tuple[str, Quantity | None, Quantity | None]:
    """The gold without the mark that a dataset may have left around it; the number it is in words, and in algebra."""
    mark = last_mark(gold) if "\\boxed" in gold or "####" in gold else None
    gold = gold if mark is None else mark.body
    return gold, read_quantity(gold), read_quantity(gold, algebra=True)


def _at_once(text: str, gold: str, kind: str, extract: str, rules: Rules) -> tuple[str | None, Reason | None]:
    """The answer found, and the reason unless it takes algebra to tell."""
    gold, in_words, in_algebra = _read_gold(gold)
    if kind == "choice":
        choice = find_choice(text)
        return choice, compare_choice(choice, gold)
    if kind == "text":
        answer = find_words(text)
        return answer, _compare_words(answer, gold)
    algebra = kind == "math"
    expected = in_algebra if algebra else in_words
    extracted = find_answer(text, extract)
    if expected is None:
        extracted = _as_written(text, extracted, gold)
    value = read_quantity(extracted or "", algebra)
    if value is not None and expected is not None:
        equal = value is expected or rules.same(value, expected)
        return extracted, Reason.CORRECT if equal else Reason.WRONG
    if normalize(gold) in NO_GOLDS:
        return extracted, Reason.UNPARSABLE_GOLD
    if extracted is None and expected is not None:
        return None, Reason.NO_ANSWER
    if extracted is not None and same_text(extracted, gold):
        return extracted, Reason.CORRECT
    if extracted is not None and _equal_with_comma(extracted, gold, value, expected, rules):
        return extracted, Reason.CORRECT
    if kind == "numeric":
        return extracted, Reason.UNPARSABLE_GOLD if expected is None else Reason.UNPARSABLE_ANSWER
    return extracted, _words_or_letters(extracted, gold)


def _as_written(text: str, extracted: str | None, gold: str) -> str | None:
    """The answer to a gold that is no number: the mark if that is the gold as written, for words the last line too."""
    mark = last_mark(final_part(text))
    if mark is not None and same_text(mark.body, gold):
        return mark.body
    return find_words(text) if extracted is None and is_words(gold) else extracted


def _equal_with_comma(answer: str, gold: str, value: Quantity | None, expected: Quantity | None, rules: Rules) -> bool:
    """Whether one is a number and the other the same number with a decimal comma: beside a list, `3,14` is a list."""
    if value is None and expected is None:
        return False
    number, text = (expected, answer) if value is None else (value, gold)
    other = decimal_comma(text)
    return number is not None and other is not None and rules.same(Quantity(other), number)


def _words_or_letters(extracted: str | None, gold: str) -> Reason | None:
    """What can be told of mathematics without algebra: the letter of a choice, and texts too long to read."""
    if extracted is not None and _letter(gold) is not None and _letter(gold) == _letter(extracted):
        return Reason.CORRECT
    if is_code(gold):
        return _compare_words(extracted, gold)
    if not 0 < len(gold) <= MAX_TEXT:
        return Reason.UNPARSABLE_GOLD
    if extracted is not None and len(extracted) > MAX_TEXT:
        return Reason.UNPARSABLE_ANSWER
    return None


def _letter(text: str) -> str | None:
    """The choice that a text is when it is nothing but its letter: `B`, `(b)`, `\\text{B.}`."""
    words = normalize(text).strip("()[] .")
    return words.upper() if len(words) == 1 and words.upper() in _LETTERS else None


def _compare_words(answer: str | None, gold: str, aliases: Sequence[str] = ()) -> Reason:
    if not normalize(gold):
        return Reason.UNPARSABLE_GOLD
    if answer is None:
        return Reason.NO_ANSWER
    return Reason.of(same_words(answer, gold, aliases))


def _in_the_pool(extracted: str | None, gold: str, timeout: float, rules: Rules) -> Reason:
    """What algebra says. A gold of words that it cannot read is compared as words, and nothing else is equal to it."""
    reason = shared().compare(extracted or "", gold, timeout, "" if rules == DEFAULT else rules.to_json())
    if is_words(gold) and reason is not Reason.CORRECT:
        return _compare_words(extracted, gold)
    if extracted is None and reason is not Reason.UNPARSABLE_GOLD:
        return Reason.NO_ANSWER
    return reason
