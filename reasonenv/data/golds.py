"""Golds of a user: how a marked one is read, which kind of comparison suits them, whether they can be met."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reasonenv.core import Problem, Reason
from reasonenv.data.files import shown
from reasonenv.errors import UserError
from reasonenv.tasks import reference_solution
from reasonenv.verify.choice import read_choice
from reasonenv.verify.extract import find_answer
from reasonenv.verify.grade import grade_many
from reasonenv.verify.numeric import parse_number
from reasonenv.verify.words import NO_GOLDS, is_code, is_words

Placed = tuple[str, Problem]  # where a problem stands, for messages about it

# What stands for a missing value among numbers and mathematics, although it may be a word among words.
_MISSING = NO_GOLDS | {"none", "inf", "-inf", "-", "?"}

_ANOTHER = r"\boxed{987654321}"  # nobody's gold: one that cannot be compared with it is only equal to its own text
_BARE_BOX = re.compile(r"\\boxed\s+([^\s{}$][^{}$]*)\$")  # \boxed 5$ in some published solutions
_LABEL = re.compile(r"(?:^|[\s(\[])([A-Za-z])\s*[).:\]]")  # of a choice: "(A)", "B.", "c)"


def marked_answer(text: str) -> str | None:
    r"""What the last mark of a solution holds: `#### 5`, `\boxed{5}`, `\fbox{5}` or `\boxed 5$`; None without one."""
    start = max(text.rfind(mark) for mark in ("####", r"\boxed", r"\fbox"))
    if start < 0:
        return None
    return find_answer(_BARE_BOX.sub(r"\\boxed{\1}$", text[start:].replace(r"\fbox", r"\boxed", 1)), "marked")


def kind_of(placed: Sequence[Placed]) -> str:
    """The kind of `reasonenv.grade` that suits the golds of problems.

    `choice` if all are letters of choices that their questions show, `numeric` if all are numbers, `text` if all are
    words, and otherwise `math`. Raises `UserError` for a gold that stands for a missing value, unless all are words.
    """
    present = [problem for _, problem in placed if problem.answer.lower() not in _MISSING]
    golds = [problem.answer for problem in present]
    numbers = all(parse_number(gold) is not None for gold in golds)
    if all(map(_is_word, golds)) and not numbers and not all(map(_is_choice, present)):
        return "text"
    for where, problem in placed:
        if problem.answer.lower() in _MISSING:
            raise UserError(f"{where}: the answer {problem.answer!r} is a missing value; leave the problem out")
    if all(map(_is_choice, present)):
        return "choice"
    return "numeric" if numbers else "math"


def _is_choice(problem: Problem) -> bool:
    letter = read_choice(problem.answer)
    labels = {label.upper() for label in _LABEL.findall(problem.question)}
    return letter is not None and {"A", "B", letter} <= labels


def _is_word(gold: str) -> bool:
    return is_words(gold) or is_code(gold) or (len(gold) == 1 and gold.isalpha())


def check_golds(placed: Sequence[Placed], kind: str) -> None:
    """Raises `UserError` that names the first problem whose gold cannot be met: it is no right answer to itself.

    `grade(kind=kind)` decides that, and another answer must be comparable with it. A gold that comes again is not
    judged again, and one that could not be judged in time is no mistake of its file.
    """
    distinct: dict[str, Placed] = {}
    for where, problem in placed:
        distinct.setdefault(problem.answer, (where, problem))
    texts = [reference_solution(problem) for _, problem in distinct.values()]
    met = grade_many(texts, list(distinct), kind)
    read = grade_many([_ANOTHER] * len(distinct), list(distinct), kind)
    unmet = []
    for (where, problem), right, other in zip(distinct.values(), met, read, strict=True):
        reason = Reason.UNPARSABLE_GOLD if other.reason is Reason.UNPARSABLE_GOLD else right.reason
        if reason not in (Reason.CORRECT, Reason.TIMEOUT, Reason.ERROR):
            unmet.append(f"{where}: the answer {shown(problem.answer)} is {reason} by verifier={kind!r}")
    if unmet:
        others = f", as are {len(unmet) - 1} others" if len(unmet) > 1 else ""
        raise UserError(f"{unmet[0]}{others}; mend it, give verifier='text' for words, or one that can read it")
