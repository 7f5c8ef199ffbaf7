"""The path of a solution: the equations that a text writes out, whether they hold, and which solutions are the same.

An equation is an arithmetic expression in front of a `=` and a number behind it, wherever in the text: a line `7+5=12`,
GSM8K's `<<48/2=24>>`, "so 7 + 5 = 12 apples". In `2+3=5+4=9`, as people write it, there are two: 2+3=5 and 5+4=9.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from reasonenv.verify.algebra.parse import arithmetic
from reasonenv.verify.numeric import MAX_LENGTH, parse_number

_WRITTEN = "0123456789+-*/(). ,$%"  # what a side of an equation is made of
_DIGIT = re.compile(r"[0-9]")
_SIDE = re.compile(r"[0-9+\-*/(). ,$%]*")
_RESULT = re.compile(r"[ $]*(-?[ $]*\d[\d,]*(?:\.\d+)?)")
_NEIGHBOURS = re.compile(r"(?<=\d)[.),]? +(?=[($]*\d)")  # "2. 7+5": the number before is not part of the sum
_OPERATION = re.compile(r"[\d)%] *[-+*/] *[-$( ]*[.\d]")
_BULLET = re.compile(r" *[-*] +(?=[($]*\d)")  # of a list
_EDGE = re.compile(r"\A(?:[ ,]|\.(?!\d))+")  # in front of a side; ".5" is a number
_PERCENT = re.compile(r"([\d.,]*\d) *%")
# The expression goes on beside what arithmetic is written with: "half of 20-5", "3 x (2/3)", "2 apples + 3"; "5A/5",
# "1 r7", "50 cents".
_GOES_ON = re.compile(r"(?:\b(?:of|by|times|plus|minus|half|twice|double|triple|per|x)|[×·÷^]) *\Z")
_CONTINUES = re.compile(r"(?![aI]\b)[A-Za-z](?![A-Za-z])|cents?\b|rem|[¢×·÷^\\]")
_OPERAND = re.compile(r"[\w)\]}] *\Z")
_FRACTION = re.compile(r"\d+ */")  # of a mixed number, behind a whole one
_DECIMAL = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_MARKS = re.compile(r"[ ,$%]")
_LEAD, _TAIL = 16, 8  # characters in front of an equation and behind it that are looked at


class Equation(NamedTuple):
    """One equation as it is written."""

    lead: str  # the end of what stands in front of it
    left: str
    result: str  # the number behind the sign
    right: str  # all of the arithmetic behind the sign, which may be more than a number
    tail: str  # the begin of what stands behind it


@lru_cache(maxsize=1_000)  # a text is read twice in a row: for its path, and for its truth
def equations(text: str) -> tuple[Equation, ...]:
    """The equations of a text in their order, right or wrong. Takes time linear in the text."""
    written = []
    for before, after in pairwise(text.split("=")):
        left = _NEIGHBOURS.split(before[len(before.rstrip(_WRITTEN)) :])[-1]
        result = _RESULT.match(after)
        if result and _DIGIT.search(left):
            right = _SIDE.match(after)
            assert right is not None, "the empty side matches"
            start = len(before) - len(left)
            lead, tail = before[max(0, start - _LEAD) : start], after[right.end() : right.end() + _TAIL]
            written.append(Equation(lead, left, result[1], right[0], tail))
    return tuple(written)


@lru_cache(maxsize=20_000)  # a policy repeats itself
def operations(text: str) -> tuple[str, ...]:
    """The arithmetic of a solution: its equations in their order, numbers in one way of writing.

    Two solutions with the same sequence are the same solution (2403.04642; RFT, 2308.01825). A text without any
    equation is its own words, lower-cased and evenly spaced. Takes time linear in the text.
    """
    steps = [_step(f"{equation.left}={equation.result}") for equation in equations(text)]
    return tuple(steps) or (" ".join(text.lower().split()),)


@lru_cache(maxsize=20_000)
def _step(written: str) -> str:
    return _DECIMAL.sub(_plain, _MARKS.sub("", written))


def _plain(number: re.Match[str]) -> str:
    """007.50 -> 7.5"""
    whole, _, fraction = number[0].partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


@lru_cache(maxsize=20_000)
def steps_hold(text: str) -> bool | None:
    """Whether every calculation that a text writes out is right; None if it writes none that can be checked.

    Exact rational arithmetic. The benefit of the doubt is the text's: an equation is wrong only if no reading of it is
    right. `%` is a unit or a hundredth; a quotient without a finite decimal expansion may be rounded to the decimals
    that are written; an equation without an operation on its left ("x = 3") is no calculation. Never raises; linear.
    """
    verdicts = {_holds(equation) for equation in equations(text)} - {None}
    if not verdicts:
        return None
    return False not in verdicts


@lru_cache(maxsize=50_000)  # policies repeat each other
def _holds(equation: Equation) -> bool | None:
    left = equation.left.strip()
    if max(len(left), len(equation.right)) > MAX_LENGTH or not _OPERATION.search(left):
        return None
    if _GOES_ON.search(equation.lead) or _CONTINUES.match(equation.tail):
        return None
    if _OPERAND.search(equation.lead) and (left[0] in "+-*/" or _FRACTION.match(left)):
        return None
    readings = [(left, equation.right), (_BULLET.sub("", left, count=1), equation.right)]
    readings += [(_PERCENT.sub(r"(\1/100)", a), _PERCENT.sub(r"(\1/100)", b)) for a, b in readings if "%" in a + b]
    verdicts = {_equal(a, b, equation.result) for a, b in readings} - {None}
    if not verdicts:
        return None
    return True in verdicts


def _equal(left: str, right: str, result: str) -> bool | None:
    """Of one reading: whether `left` is the number behind the sign or all that stands there."""
    value = _value(left)
    claims = {parse_number(result.replace(" ", "")), _value(right)} - {None}
    if value is None or not claims:
        return None
    return value in claims or _rounded(value, result)


def _value(side: str) -> Fraction | None:
    return arithmetic(_EDGE.sub("", side, count=1).rstrip(" .,"))


def _rounded(value: Fraction, result: str) -> bool:
    """Whether `value` has no finite decimal expansion and `result` is it rounded to the decimals written."""
    decimals = len(result.partition(".")[2])
    claimed = parse_number(result.replace(" ", ""))
    finite = pow(10, value.denominator.bit_length(), value.denominator) == 0
    if finite or not decimals or claimed is None:
        return False
    return abs(value - claimed) <= Fraction(1, 2 * 10**decimals)
