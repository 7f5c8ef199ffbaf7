"""Finds the answer in a response, and the value that one reasoning step arrives at.

Every scan is linear: the text is walked once, and number patterns only ever see a window of bounded length.
"""

from __future__ import annotations

import re
from fractions import Fraction

from reasonenv.errors import check_known
from reasonenv.verify.numeric import MAX_LENGTH, NUMBER, UNIT_LETTERS, parse_number

POLICIES = ("marked", "last_number")

_WINDOW = 2 * MAX_LENGTH  # a number that the window cuts is longer than any that parses
_PHRASE = re.compile(r"[tT]he\s++(?:[fF]inal\s++)?[aA]nswer\s++is\b(?:\s++(?:therefore|thus)\b)?\s*+:?\s*+")
_SENTENCE_END = re.compile(r"\n|[.;](?=\s)")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # \{ is a character, not a brace
# What makes a number part of a larger expression: a variable, root or constant behind it ("2p", "2\\pi", "2 sqrt(3)"),
_ALGEBRA = (
    rf"(?![{UNIT_LETTERS}])[A-Za-z](?![A-Za-z])"
    r"|\s*+(?:\^|[π√]|\\(?:pi|sqrt|[dt]?frac|cdot|times)(?![A-Za-z])|(?:pi|sqrt)\b)"
)
_IS_FACTOR = re.compile(_ALGEBRA)
# .. an operator and an operand, or a bracket,
_GOES_ON = re.compile(rf"\(|{_ALGEBRA}|\s*+[-+*/×÷−–^]\s*+(?:[$(]|\.?[0-9]|[A-Za-z](?![A-Za-z]))")
# .. or a power, index or function in front of it.
_IS_ARGUMENT = re.compile(r"(?:√|[\^_]\s?[{(]?|(?:\\(?:sqrt|sin|cos|tan|ln|log)|sqrt)\s?(?:\[[0-9]{1,3}\])?[{(]?)-?$")
# All that may stand in a number. Its letters are those of \\dtfrac, \\times, \\cdot, x and e.
_IN_NUMBERS = (
    "0123456789.,+-−–$€£/\\{}^×*" + "dtfracimesoxE" + "".join(c for c in map(chr, range(0x3001)) if c.isspace())
)
_ARGUMENT_WIDTH = 16  # characters that `_IS_ARGUMENT` looks back


def find_answer(text: str, policy: str = "last_number") -> str | None:
    r"""The answer as written in `text`, or None if nothing there looks like one.

    `marked`: what stands in the last mark: `\boxed{..}` with balanced braces, `#### ..` to the end of its line, or
    "the (final) answer is .." to the end of its sentence. Whichever stands last in the text counts; an empty or
    unclosed mark is no mark. `last_number`: the same, or the last number in the text if nothing is marked
    and it is no part of an expression (`2\pi`, `\sqrt{5}`, `x^2`).
    Raises `UserError` for another policy.
    """
    check_known("extract policy", policy, POLICIES)
    marked = _last_mark(text)
    return _last_number(text) if marked is None and policy == "last_number" else marked


def step_value(step: str) -> Fraction | None:
    """The value a reasoning step arrives at: the right side of its last equation, else its last number.

    A GSM8K annotation `<<a*b=c>>` is the equation if there is one. None if the step has no such number, if its last
    equation does not end in one ("x = 3 + y"), or if it is an answer line (`#### ..`).
    """
    if step.lstrip().startswith("####"):
        return None
    end = step.rfind(">>")
    start = step.rfind("<<", 0, end) if end >= 0 else -1
    if start >= 0:
        return parse_number(step[start + 2 : end].rpartition("=")[2])
    _, equals, right = step.rpartition("=")
    if not equals:
        number = _last_number(step)
        return None if number is None else parse_number(number)
    right = right.lstrip()[:_WINDOW]
    match = NUMBER.match(right)
    if match is None or _GOES_ON.match(right, match.end()):
        return None
    return parse_number(match[0])


def _last_mark(text: str) -> str | None:
    # Each kind is only looked for behind the one found before, so the last find is the one that stands last.
    body, begin = None, 0
    for last in (_last_hashes, _last_box, _last_phrase):
        mark = last(text, begin)
        if mark is not None:
            begin, body = mark
    return body


def _last_hashes(text: str, begin: int) -> tuple[int, str] | None:
    """Where the last non-empty body behind exactly four hashes starts, and the body: the rest of its line."""
    limit, at = len(text), text.rfind("####", begin)
    while at >= 0:
        if text[at - 1 : at] != "#" != text[at + 4 : at + 5]:  # five or more are a heading or a rule
            end = text.find("\n", at + 4, limit)
            body = text[at + 4 : limit if end < 0 else end].strip()
            if body:
                return at + 4, body
            limit = at
        at = text.rfind("####", begin, at)
    return None


def _last_phrase(text: str, begin: int) -> tuple[int, str] | None:
    """Where the last non-empty body behind the phrase starts, and the body: up to the sentence's end or the next."""
    if text.find("nswer", begin) < 0:  # a fixed string is found many times as fast as a pattern
        return None
    limit = len(text)
    for match in reversed(list(_PHRASE.finditer(text, begin))):
        stop = _SENTENCE_END.search(text, match.end(), limit)
        body = text[match.end() : stop.start() if stop else limit].strip()
        if body:
            return match.end(), body
        limit = match.start()
    return None


def _last_box(text: str, begin: int) -> tuple[int, str] | None:
    """Where the last closed, non-empty box ends, and its content."""
    limit, at = len(text), text.rfind(r"\boxed{", begin)
    while at >= 0:
        # Only up to the next box, which is empty or never closed: so is then what holds it, and nothing is read twice.
        depth, start = 0, at + len(r"\boxed")
        for brace in _BRACE.finditer(text, start, limit):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if depth == 0 and brace[0] == "}":
                body = text[start + 1 : brace.start()].strip()
                if body:
                    return brace.end(), body
                break
        limit, at = at, text.rfind(r"\boxed{", begin, at)
    return None


def _last_number(text: str) -> str | None:
    end = 1 + max(text.rfind(digit) for digit in "0123456789")
    if end == 0:
        return None
    line = text.rfind("\n", 0, end) + 1  # no number goes over a line
    window = max(line, end - _WINDOW)
    start = window + len(text[window:end].rstrip(_IN_NUMBERS))  # no number goes over what is in none
    number = None
    for match in NUMBER.finditer(text, start, end + 4):  # closing braces belong to the number
        number = match
    if number is None or _IS_FACTOR.match(text, number.end()):
        return None
    before = text[max(0, number.start() - _ARGUMENT_WIDTH) : number.start()]
    return None if _IS_ARGUMENT.search(before) else number[0]
