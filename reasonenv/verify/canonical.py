"""The one meaning of "these two answers are the same": their canonical forms are equal.

Votes (maj@k, the `majority` agent), the entropy of answers and ties all compare these forms and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from time import perf_counter

from reasonenv.core import FAILURES, Reason, Verdict
from reasonenv.verify.algebra.lexer import MAX_TEXT
from reasonenv.verify.choice import read_choice
from reasonenv.verify.numeric import parse_number
from reasonenv.verify.pool import TIMEOUT, shared
from reasonenv.verify.words import normalize

MAX_FORM = 120  # characters; of a longer form a hash stands for the end
_ONE_RIGHT = ("numeric", "math", "choice", "words")  # kinds with one right answer, the gold, however it is written


def canonical(
    reason: Reason,
    answer: str | None,
    gold: str,
    kind: str = "text",
    *,
    choices: Sequence[str] = (),
    timeout: float = TIMEOUT,
) -> str | None:
    r"""The form by which an answer, judged for `reason`, is compared with other answers to the same problem.

    An answer that is `CORRECT` has the form of its gold and no other answer has it, so votes agree with the verdict by
    construction. Every other answer has the form of its own text: `numeric` an exact number (`3/2`), `choice` a
    letter, `math` a number or `normal_form.normal_form`, made in the pool within `timeout` seconds; all three the text
    where it is none of these. `text` is the text with its white space made even, and `lines` without white space at
    the ends of lines and without empty ones: for programs and grids. In these two the gold says nothing: where many
    answers are right, two right ones are not the same. None where no answer was given.
    """
    if answer is None:
        return None
    if kind not in _ONE_RIGHT:
        spaced = _lines if kind == "lines" else _even
        return _short(spaced(answer))
    if reason is Reason.CORRECT:
        return _form(gold, kind, choices, timeout)
    if reason in FAILURES:  # what could not be compared is not worth another process
        return _form(answer, "numeric", choices, timeout)
    form = _form(answer, kind, choices, timeout)
    return f"not {form}" if form == _form(gold, kind, choices, timeout) else form


def verdict(
    reason: Reason,
    extracted: str | None,
    gold: str,
    kind: str = "text",
    *,
    since: float,
    written: str | None = None,
    choices: Sequence[str] = (),
    timeout: float = TIMEOUT,
    score: float = 0.0,
) -> Verdict:
    """The verdict on an answer with its canonical form, timed from the `perf_counter` value `since`.

    `written` is the answer in the notation in which answers are compared, where it is not compared as it was extracted;
    `score` is its partial credit if it is not correct.
    """
    if written is None:
        written = extracted
    form = canonical(reason, written, gold, kind, choices=choices, timeout=timeout)
    return Verdict(reason, extracted, gold, (perf_counter() - since) * 1e3, form, score)


def _form(text: str, kind: str, choices: Sequence[str], timeout: float) -> str | None:
    """The letter, the number or the expression that a text is, else its words."""
    if kind in ("numeric", "math"):
        form = _number(text)
    elif kind == "choice":
        form = read_choice(text, choices)
    else:
        return _short(normalize(text))
    if form is None and kind == "math" and len(text) <= MAX_TEXT:
        with suppress(_Failed):
            form = _algebra(text, timeout)
    return form or _short(_even(text))


@lru_cache(maxsize=16_384)  # a gold is read at every sample of its problem, and writing it costs as much as reading
def _number(text: str) -> str | None:
    value = parse_number(text)
    return None if value is None else _short(str(value))


class _Failed(Exception):
    """A normal form that was not made in time. An exception, so that no cache keeps it."""


@lru_cache(maxsize=16_384)
def _algebra(text: str, timeout: float) -> str | None:
    reply = shared().call("reasonenv.verify.algebra.normal_form:normal_form", (text,), timeout)
    if isinstance(reply, Reason):
        raise _Failed(reply)
    return _short(reply)


def _even(text: str) -> str:
    words = text.split()
    if not words:
        return ""
    return f"text:{' '.join(words)}"


def _lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def _short(form: str) -> str | None:
    """At most `MAX_FORM` characters of a form and the hash of all; None for an empty one."""
    if len(form) > MAX_FORM:
        form = f"{form[:MAX_FORM]}…{hashlib.sha256(form.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
    return form or None
