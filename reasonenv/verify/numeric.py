"""Text to exact number. A number is read whole or not at all: what is not understood is no value, never a guess.

Everything is rational arithmetic, so equality is exact: 0.333 is not 1/3, and 0.1 + 0.2 is 0.3.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

MAX_LENGTH = 400  # characters; nobody means a longer number, and int() costs the square of its digits
MAX_EXPONENT = 1000
UNIT_LETTERS = "mgshlLWVJNCF"  # that may follow a digit at once: 5m is metres; 5n is algebra, 5k and 5M are scales

_INTEGER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"  # 1,234 is one number; 3, 4 and 3,4 are two
_DECIMAL = rf"(?:{_INTEGER}(?:\.[0-9]+)?|(?<![0-9])\.[0-9]+)"
_TEN_TO_THE = r"\s*(?:\\times|\\cdot|[x×*])\s*10\s*\^\s*"
_LATEX_FRACTION = r"\\[dt]?frac\s*\{\s*(-?[0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}"

# A number inside running text. A minus after an operand subtracts ("10-5", "12 -5"); elsewhere it is a sign.
NUMBER = re.compile(
    r"(?:(?<![\w)\]}%])(?<![0-9)\]}%] )[-−–](?=\\?[$€£]?[0-9.\\]))?(?:\\?[$€£]\s?)?"
    rf"(?:(?:{_INTEGER}\s?)?{_LATEX_FRACTION}"
    rf"|(?<!/)(?:{_INTEGER} )?{_INTEGER}/{_INTEGER}(?![0-9/])"  # 12/25/2024 is no fraction
    rf"|{_DECIMAL}(?:[eE][-+]?[0-9]+(?![0-9A-Za-z])|{_TEN_TO_THE}(?:-?[0-9]+|\{{-?[0-9]+\}}))?)"
)

_PLAIN = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)")
_WHOLE = re.compile(
    r"(?:[A-Za-z][A-Za-z ]{0,40}[:=]\s*)?"  # a label: "x = 5", "Total: 5"
    r"(?P<sign>[-+]\s*[$€£]?|[$€£]\s*[-+]?)?\s*"
    rf"(?:(?:(?P<units>{_INTEGER})\s+)?(?P<top>{_INTEGER})\s*/\s*(?P<bottom>{_INTEGER})"
    rf"|(?P<decimal>{_DECIMAL})(?:[eE](?P<e>[-+]?[0-9]{{1,4}})(?![0-9A-Za-z])"
    rf"|{_TEN_TO_THE}(?:\{{\s*(?P<power>-?[0-9]{{1,4}})\s*\}}|(?P<bare>-?[0-9]{{1,4}})(?![0-9])))?)"
    r"(?P<tail>(?:[\s.,;:'\"’()°%$€£¢]|[/-](?=[A-Za-z])|[A-Za-zÀ-ÖØ-öø-ɏ]+[²³]?)*+)"
)
_WORD = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ]+")
# Words that change the value they follow, or that begin a second one. All else after a number is its unit.
NOT_UNITS = re.compile(
    r"(?:hundred|thousand|million|billion|trillion|dozen|third|fifth|sixth|eighth|tenth)s?|half|halves"
    r"|and|or|plus|minus|point|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    r"|squared|cubed|power|factorial|root|sqrt|pi|x|y|z|e|i",
    re.IGNORECASE,
)

_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_FRACTION = re.compile(_LATEX_FRACTION)
_THOUSANDS = re.compile(r"(?<=[0-9])(?:\{,\}|,\\!|\\,)(?=[0-9]{3}(?![0-9]))")
_SPACE = re.compile(r"\\(?:[,;:! ]|quad\b)|~")
_DROPPED = re.compile(r"\\(?:[()\[\]]|left\b|right\b|(?=[$%]))")


def parse_number(text: str) -> Fraction | None:
    """The one number that `text` is, exactly; None if it is none, several, or more than `MAX_LENGTH` characters.

    Reads signs, thousands separators, currency, percent (a unit: 50% is 50), units after the number ("18 dollars"), a
    label before it ("x = 5"), fractions, mixed numbers, decimals, powers of ten up to `MAX_EXPONENT`, and the LaTeX of
    all these. Words that change a value ("5 million", "2 and a half") make it unreadable. Never raises; its cost is
    bounded.
    """
    if len(text) > MAX_LENGTH:
        return None
    return _parsed(text)


@lru_cache(maxsize=16_384)  # a gold is read at every sample of its problem, and a policy repeats itself
def _parsed(text: str) -> Fraction | None:
    if text.isdigit() and text.isascii():  # most answers
        return Fraction(int(text))
    text = text.strip(" \t\r\n*_`\"'")
    if _PLAIN.fullmatch(text):
        return Fraction(int(text.replace(",", "")))
    if "\\" in text or "{" in text:
        text = _without_latex(text)
    match = _WHOLE.fullmatch(text.replace("−", "-").replace("–", "-").strip(" $"))
    if match is None or not _is_unit(match["tail"]):
        return None
    size = _magnitude(match)
    return -size if size is not None and "-" in (match["sign"] or "") else size


def _magnitude(match: re.Match[str]) -> Fraction | None:
    if match["top"]:
        units, top, bottom = (int((match[name] or "0").replace(",", "")) for name in ("units", "top", "bottom"))
        if bottom == 0 or (match["units"] and top >= bottom):  # "5 10/2" is two numbers, "4 1/2" is one
            return None
        return units + Fraction(top, bottom)
    exponent = int(match["e"] or match["power"] or match["bare"] or 0)
    if abs(exponent) > MAX_EXPONENT:
        return None
    return Fraction(match["decimal"].replace(",", "")) * Fraction(10) ** exponent


def _is_unit(tail: str) -> bool:
    words = _WORD.findall(tail)
    if words and tail.startswith(words[0]) and len(words[0]) == 1 and words[0] not in UNIT_LETTERS:
        return False
    return not any(NOT_UNITS.fullmatch(word) for word in words)


def _without_latex(text: str) -> str:
    text = _FRACTION.sub(r" \1/\2 ", _WRAPPED.sub(r" \1 ", text))
    return _DROPPED.sub("", _SPACE.sub(" ", _THOUSANDS.sub(",", text))).strip()
