"""Finds the answer in a response, and the value that one reasoning step arrives at.

Every scan is linear: the text is walked once, and number patterns only ever see a window of bounded length.
"""

from __future__ import annotations

import re
from fractions import Fraction

from reasonenv.errors import check_known
from reasonenv.verify.marks import last_mark
from reasonenv.verify.notation import characters
from reasonenv.verify.numeric import parse_number
from reasonenv.verify.prose import CONTINUES, NUMBER, WINDOW, last_number, last_value, without_note
from reasonenv.verify.response import NEXT_QUESTION, final_part

POLICIES = ("marked", "last_number")

_ONE_NUMBER = re.compile(r"[^0-9]*[0-9][0-9.,]*(?![0-9])[^0-9]*")
# Behind which a sentence goes on to explain: "57 -> 3 x 19", "57: three times 19", "57 for n = 3".
_BREAK = re.compile(r"\s*(?:->|=>|→|⇒|:\s|\s-+\s|\.\.\.\s)|\s+for\s+[a-z]\s*=")
_WORD = re.compile(r"[A-Za-z]{2}|[0-9]\s*[-+*/x×]\s*[0-9]")
_SUM = re.compile(r"(?:[-+*/×·÷()$\s0-9.,]|\\(?:times|cdot|div)(?![A-Za-z]))+=(?P<right>[^=]+)")


def find_answer(text: str, policy: str = "last_number") -> str | None:
    r"""The answer as written in the final part of `text`, or None if nothing there looks like one.

    `marked`: what stands in the last mark (`marks.last_mark`). `last_number`: the same, or if nothing is marked the
    formula or number that the text ends in, unless what stands beside it changes it (`prose.last_value`).
    Raises `UserError` for another policy.
    """
    if policy not in POLICIES:
        check_known("extract policy", policy, POLICIES)
    # Most answers to word problems are a last line `#### 18`, and no thoughts, ends of turns and further questions
    # stand before it: the scans below find the same, and take ten times as long.
    at = text.rfind("####")
    if at >= 0 and text.find("#") == at:
        body = text[at + 4 :].rstrip().lstrip(" ")
        tagged = "|" in text or "hink" in text or text[0] in "<[" or _asks_again(text)
        if body.isdigit() and not tagged:
            return body
    text = final_part(text)
    mark = last_mark(text)
    if mark is not None:
        return _value_of(mark.body) if mark.spoken else mark.body
    return last_value(text) if policy == "last_number" else None


def _asks_again(text: str) -> bool:
    return (":" in text or "Q" in text or "P" in text) and NEXT_QUESTION.search(text) is not None


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
        number = last_number(step)
        return None if number is None else parse_number(number)
    right = right.lstrip()[:WINDOW]
    match = NUMBER.match(right)
    if match is None or CONTINUES.match(right, match.end()):
        return None
    return parse_number(match[0])


def _value_of(body: str) -> str:
    """The answer of a sentence; of a sum its right side ("9 * 2 = 18"), and where it holds one number that number."""
    if len(body) > WINDOW:
        return body
    body = without_note(characters(body))
    if summed := _SUM.fullmatch(body.strip(" .*_")):
        return summed["right"].strip()
    head = _BREAK.split(body, maxsplit=1)[0]
    if head != body and parse_number(head) is not None and _WORD.search(body, len(head)):
        return head
    if parse_number(body) is not None or "\\" in body or not _ONE_NUMBER.fullmatch(body):
        return body
    return last_number(body) or body
