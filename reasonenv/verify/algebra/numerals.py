r"""Numbers that are more than a row of digits: repeating and unfinished decimals, and numerals of another base."""

from __future__ import annotations

import re
from fractions import Fraction

from reasonenv.verify.algebra.expression import Unreadable
from reasonenv.verify.algebra.vocabulary import BASES
from reasonenv.verify.numeric import MAX_EXPONENT

MAX_DIGITS = 400  # of one literal

REPEATING = (  # a pattern for `repeating`
    r"(?P<whole>[0-9]*)\.(?P<fixed>[0-9]*)"
    r"(?:\\(?:overline|bar)\s*(?:\{\s*(?P<block>[0-9]+)\s*\}|(?P<digit>[0-9]))"
    r"|\\dot\s*\{?(?P<first>[0-9])\}?(?:(?P<middle>[0-9]*)\\dot\s*\{?(?P<last>[0-9])\}?)?"
    r"|\((?P<period>[0-9]+)\)"
    r"|(?P<unfinished>\.\.\.))"
)
_DIGITS = r"(?:[0-9A-F]|\\text\s*\{\s*[0-9A-Fa-f]+\s*\})+(?:\.[0-9A-F]+)?"
_BASE = r"(?:[0-9]{1,2}|[a-z]+)"
_SAYS_BASE = r"(?:(?:\\text\s*\{\s*)?[Bb]ase[\s-]*\}?\s*)?"
_NUMERAL = re.compile(
    rf"(?:\(\s*(?P<wrapped>{_DIGITS})\s*\)|(?P<bare>{_DIGITS}))"
    r"(?:\s*_\s*(?P<digit>[0-9])"
    rf"|\s*_\s*\{{\s*\(?\s*{_SAYS_BASE}(?P<index>{_BASE})\s*\)?\s*\}}"
    rf"|\s*_\s*\{{\s*\\text\s*\{{\s*(?:[Bb]ase\s*)?(?P<wrapped_index>{_BASE})\s*\}}\s*\}}"
    rf"|\s*_\s*\\text\s*\{{\s*(?P<upright_index>{_BASE})\s*\}}"
    rf"|\s*\\text\s*\{{\s*\(?\s*(?:in\s+)?[Bb]ase[\s-]*(?P<said>{_BASE})\s*\)?\s*\}}"
    rf"|\s*\\text\s*\{{\s*(?:in\s+)?[Bb]ase\s*\}}\s*(?P<behind>{_BASE})"
    rf"|\s+\(?\s*(?:in\s+)?[Bb]ase[\s-]*(?P<plain>{_BASE})\s*\)?)"
)
_WRITTEN_BASES = ("digit", "index", "wrapped_index", "upright_index", "said", "behind", "plain")
_UPRIGHT = re.compile(r"\\text|[\s{}]")


def decimal(digits: str) -> Fraction:
    """The value of a literal such as `12.5e-3`."""
    mantissa, _, exponent = digits.lower().partition("e")
    if len(mantissa) > MAX_DIGITS or abs(int(exponent or 0)) > MAX_EXPONENT:
        raise Unreadable(f"a number of more than {MAX_DIGITS} digits")
    return Fraction(f"{mantissa}e{exponent or 0}")


def repeating(match: re.Match[str]) -> Fraction:
    r"""The value of `0.1\overline{6}`, `0.\dot12\dot3`, `0.(3)` or `0.333...`, exactly.

    Three dots go on with a digit that stands three times; behind other digits they say nothing: `3.14...` is 3.14.
    """
    whole, fixed = match["whole"] or "0", match["fixed"]
    block = match["block"] or match["digit"] or match["period"]
    if match["unfinished"]:
        block = "0"
        if len(fixed) > 2 and len(set(fixed[-3:])) == 1:
            block = fixed[-1]
    if block is None:
        block = match["first"] + (match["middle"] or "") + (match["last"] or "")
    if match["period"] and fixed and whole != "0":  # 1.5(2) may be 3, and 0.1(3) is 2/15
        raise Unreadable("a decimal beside a bracket: a period or a product")
    if len(whole) + len(fixed) + len(block) > MAX_DIGITS:
        raise Unreadable(f"a number of more than {MAX_DIGITS} digits")
    shift: int = 10 ** len(fixed)
    tail = Fraction(int(block), 10 ** len(block) - 1)
    return Fraction(int(whole + fixed), shift) + tail / shift


def numeral(text: str, at: int) -> tuple[str, int] | None:
    r"""The numeral with a base at a position, as `52_8`, and its end: `52_8`, `(52)_{eight}`, `A3_{16}`, `52 (base 8)`.

    None if there is none there, and where the digits do not go with the base: `A_1` is a variable.
    """
    match = _NUMERAL.match(text, at)
    if match is None:
        return None
    written = next(match[name] for name in _WRITTEN_BASES if match[name])
    base = BASES.get(written, 0)
    if written.isdecimal():
        base = int(written)
    digits = _UPRIGHT.sub("", match["wrapped"] or match["bare"]).upper()
    if not 2 <= base <= 16 or not any(digit.isdecimal() for digit in digits):
        return None
    if any(int(digit, 16) >= base for digit in digits if digit != "."):
        return None
    whole, _, fraction = digits.partition(".")
    value = f"{whole.lstrip('0') or '0'}.{fraction.rstrip('0')}".rstrip(".")
    return f"{value}_{base}", match.end()
