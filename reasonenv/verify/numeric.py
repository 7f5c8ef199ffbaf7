r"""Text to exact number. A number is read whole or not at all: what is not understood is no value, never a guess.

Everything is rational arithmetic, so equality is exact: 0.333 is not 1/3, and 0.1 + 0.2 is 0.3.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from reasonenv.verify.notation import UNFINISHED, plain
from reasonenv.verify.units import (
    ATTACHED_SCALES,
    LETTERS,
    NUMBER_WORDS,
    SCALES,
    in_words,
    is_unit,
    unit_of,
)

MAX_LENGTH = 400  # characters; nobody means a longer number, and int() costs the square of its digits
MAX_EXPONENT = 1000

# One number, its digits in groups: 1,234 1 234 1'234 1_234, and 12,34,567 as in India; 3, 4 and 3,4 are two numbers.
INTEGER = (
    r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}(?![0-9])"
    r"|[0-9]{1,3}(?: [0-9]{3})+(?![0-9])|[0-9]{1,3}(?:'[0-9]{3})+(?![0-9])|[0-9]{1,3}(?:_[0-9]{3})+(?![0-9])"
    r"|[0-9]{1,3}(?:\.[0-9]{3}){2,}(?![0-9])|[0-9]+)"
)
_DECIMAL_COMMA = r"[0-9]{1,3}(?:[. '][0-9]{3})+,[0-9]+(?![0-9,])"  # 1.234,50: the groups show what the comma is
DECIMAL = rf"(?:{_DECIMAL_COMMA}|{INTEGER}(?:\.[0-9]+)?|(?<![0-9])\.[0-9]+)"
CODES = "USD EUR GBP JPY CNY RMB INR AUD CAD CHF HKD NZD SGD KRW BRL RUB MXN ZAR SEK NOK DKK"
SIGNS = "€£¥₹₽฿₩₺₫₦₴₱₪₸₡₲₵¢"
_SIGNS_IN_LETTERS = rf"(?:(?:Rs|Rp|RM|Fr|[Kk]r)\.?|{CODES.replace(' ', '|')})(?![A-Za-z])"
CURRENCY = rf"(?:(?:USD?|AU|CA|HK|NZ|SG|MX|NT|[ACRS])?\\?\$|[{SIGNS}]|{_SIGNS_IN_LETTERS})"
_TEN_TO_THE = r"\s*(?:\\times|\\cdot|\\ast|[xX×*·⋅])\s*10\s*\^\s*"

_PLAIN = re.compile(r"-?(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)")
_WHOLE = re.compile(
    rf"(?:(?P<sign>[-+]|minus\s|negative\s)\s*)?(?:{CURRENCY}\s*)?(?P<inner>[-+]\s*)?"
    rf"(?:(?:(?P<units>{INTEGER})\s+(?:and\s+)?)?(?P<top>{INTEGER})\s*/\s*(?P<bottom>{INTEGER})"
    rf"|(?P<decimal>{DECIMAL})(?:[eE](?P<e>[-+]?[0-9]{{1,4}})(?![0-9A-Za-z])"
    rf"|{_TEN_TO_THE}(?:\{{\s*(?P<power>[-+]?[0-9]{{1,4}})\s*\}}|(?P<bare>[-+]?[0-9]{{1,4}})(?![0-9])))?)"
    r"(?P<tail>.*)",
    re.DOTALL,
)
_CENTS = re.compile(
    rf"(?:{CURRENCY})?\s*(?P<whole>{INTEGER})(?:\s+(?:dollars?|euros?))?\s+and\s+(?P<cents>[0-9]{{1,2}})\s+cents?"
)
_LABEL = re.compile(r"(?P<words>[A-Za-z][A-Za-z_ {}0-9]{0,40}?)\s*(?P<sign>[:=])\s*(?=[^=])")
_VARIABLE = re.compile(r"[A-Za-z](?:_(?:[A-Za-z0-9]|\{[A-Za-z0-9]{1,8}\}))?'?|[A-Z]{2,4}")
_LABEL_WORDS = frozenset(
    """
    answer ans final total result solution sum value area volume perimeter length width height cost price profit number
    of the amount time distance speed probability average mean median mode range angle age weight is so therefore hence
    thus
    """.split()  # noqa: SIM905
)
_APPROXIMATELY = re.compile(r"(?:\\approx\s*|~\s*|(?:about|approximately|approx\.?|roughly|around)\s+)", re.IGNORECASE)
_REPEATS = re.compile(r"(?P<sign>-?)(?P<whole>[0-9]*)\.(?P<fixed>[0-9]*?)(?P<digit>[0-9])(?P=digit){2,}\.\.\.")
_TWO_NUMBERS = re.compile(r"(?P<whole>-?[0-9]+)(?P<sign>[,·])(?P<decimals>[0-9]+)")
SAID_AGAIN = re.compile(r"\s*\(\s*=[^()]*\)$")  # 5 (= 2 + 3)
_PERCENT = re.compile(r"\s*(?:%|per\s?cent|pct)\.?", re.IGNORECASE)
_HALF = re.compile(r"\s+and\s+(?:a\s+|one[\s-]+)?(?P<part>[a-z]+)", re.IGNORECASE)
_SCALE = re.compile(r"(?P<space>\s*)-?(?P<word>[A-Za-z]+)\b")

_NUMBER_WORD = "|".join(sorted((*NUMBER_WORDS, *SCALES), key=len, reverse=True))
_WORDED_UNIT = re.compile(rf"^((?:(?:{_NUMBER_WORD})(?:[-\s]+|$))+)(.*)$", re.IGNORECASE | re.DOTALL)

_WRAPPED = re.compile(r"\\text\s*\{([^{}]*)\}")
_FRACTION = re.compile(
    r"\\frac\s*(?:\{\s*(?P<top>-?\s?[0-9]+)\s*\}|(?P<digit>[0-9]))\s*(?:\{\s*(?P<bottom>[0-9]+)\s*\}|(?P<last>[0-9]))"
)
_GROUP = re.compile(r"(?<![\^_\\A-Za-z}])\{([^{}\\]*)\}")


class Quantity(NamedTuple):
    """A number as written: 28% has the value 28, a percent sign, and no unit."""

    value: Fraction
    percent: bool = False
    unit: str = ""
    name: str = ""  # of the variable that it is said to be: x = 28


def parse_number(text: str) -> Fraction | None:
    """The one number that `text` is, exactly; None if it is none, several, or more than `MAX_LENGTH` characters.

    Reads signs, groups of digits, currency, percent (50% is 50), known units behind the number ("18 dollars"), a label
    in front of it ("x = 5"), fractions, mixed numbers, decimals, powers of ten up to `MAX_EXPONENT`, numbers in words,
    scales ("5 million", "3 quarters"), and the LaTeX of all these. A word that is on no list of `units` makes the text
    unreadable. Never raises; its cost is bounded.
    """
    quantity = read_quantity(text)
    return None if quantity is None else quantity.value


def read_quantity(text: str, algebra: bool = False) -> Quantity | None:
    """`parse_number` with the percent sign and the unit. In `algebra` 5m is a product; elsewhere it is five metres."""
    if len(text) > MAX_LENGTH:
        return None
    return _in_mathematics(text) if algebra else _in_a_word_problem(text)


def decimal_comma(text: str) -> Fraction | None:
    """The number that `3,14` or `3·14` is if the sign marks the decimals: elsewhere these are a list and a product."""
    match = _TWO_NUMBERS.fullmatch(plain(text).strip(f"{SIGNS} ")) if len(text) <= MAX_LENGTH else None
    if match is None:
        return None
    if match["sign"] == "," and len(match["decimals"]) == 3 and len(match["whole"].lstrip("-")) <= 3:  # thousands
        return None
    return Fraction(f"{match['whole']}.{match['decimals']}")


@lru_cache(maxsize=16_384)  # a gold is read at every sample of its problem, and a policy repeats itself
def _in_a_word_problem(text: str) -> Quantity | None:
    return _quantity(text, algebra=False)


@lru_cache(maxsize=16_384)  # of one argument, which is looked up twice as fast as two
def _in_mathematics(text: str) -> Quantity | None:
    return _quantity(text, algebra=True)


def _quantity(text: str, algebra: bool) -> Quantity | None:
    if text.isdigit() and text.isascii():  # most answers
        return Quantity(Fraction(int(text)))
    text = plain(text)
    if UNFINISHED.search(text):  # 0.333... goes on, and algebra reads it
        return None
    if _PLAIN.fullmatch(text):
        return Quantity(Fraction(int(text.replace(",", ""))))
    if "\\" in text or "{" in text:
        text = _without_latex(text)
    if not algebra:  # which looks whether it is true
        text = SAID_AGAIN.sub("", text)
    text, name = _bare(text)
    quantity = _unnamed(text, algebra)
    return quantity._replace(name=name) if quantity is not None and name else quantity


def _unnamed(text: str, algebra: bool) -> Quantity | None:
    if repeats := _REPEATS.fullmatch(text):
        return Quantity(_repeating(repeats))
    text = text.removesuffix("...").rstrip(".,;: ")
    if cents := _CENTS.fullmatch(text):
        return Quantity(Fraction(_digits(cents["whole"])) + Fraction(int(cents["cents"]), 100))
    match = _WHOLE.fullmatch(text)
    if match is None:
        return _worded(text)
    size = _magnitude(match)
    quantity = None if size is None else _with_tail(size, match["tail"], algebra)
    signs = [sign.strip() for sign in match.group("sign", "inner") if sign]
    if quantity is None or not signs or signs == ["+"]:
        return quantity
    return quantity._replace(value=-quantity.value) if len(signs) == 1 else None


def _repeating(match: re.Match[str]) -> Fraction:
    """The value of `0.1666...`: the digit that stands there three times goes on for ever."""
    shift = 10 ** len(match["fixed"])
    value = Fraction(int(match["whole"] + match["fixed"] or 0), shift) + Fraction(int(match["digit"]), 9 * shift)
    return -value if match["sign"] else value


def _bare(text: str) -> tuple[str, str]:
    """Without brackets around it, a label, an equals sign and a word for "about"; and the name of its variable."""
    text, name = text.lstrip(" $\"'`*").rstrip(" $\"'`"), ""
    if text.startswith("(") and text.endswith(")") and not re.search("[(),]", text[1:-1]):
        text = text[1:-1]
    label = _LABEL.match(text)
    if label is not None and _is_label(label["words"], label["sign"]):
        text = text[label.end() :]
        if label["sign"] == "=" and _VARIABLE.fullmatch(label["words"].strip()):
            name = label["words"].strip().partition("_")[0]
    text = text.removeprefix("=").lstrip(" $*")
    if about := _APPROXIMATELY.match(text):
        text = text[about.end() :]
    return text.lstrip(" $*").rstrip(" $,;:"), name


def _is_label(words: str, sign: str) -> bool:
    """Whether "words =" or "words:" names the value: a variable or up to four capitals before "=", or known words."""
    if sign == "=" and _VARIABLE.fullmatch(words.strip()):
        return True
    listed = words.lower().split()
    return all(word in _LABEL_WORDS or is_unit(word, frozenset()) for word in listed)


def _worded(text: str) -> Quantity | None:
    """A number in words, alone or in front of a unit: "twenty-one", "five days"."""
    value = in_words(text)
    if value is None and " " in text:
        head, _, tail = _WORDED_UNIT.sub(r"\1|\2", text, count=1).partition("|")
        if is_unit(tail, frozenset()):
            value = in_words(head)
    return None if value is None else Quantity(value)


def _magnitude(match: re.Match[str]) -> Fraction | None:
    if match["top"]:
        units, top, bottom = (int(_digits(match[name] or "0")) for name in ("units", "top", "bottom"))
        if bottom == 0 or (match["units"] and top >= bottom):  # "5 10/2" is two numbers, "4 1/2" is one
            return None
        return units + Fraction(top, bottom)
    exponent = int(match["e"] or match["power"] or match["bare"] or 0)
    if abs(exponent) > MAX_EXPONENT:
        return None
    return Fraction(_digits(match["decimal"])) * Fraction(10) ** exponent


def _digits(written: str) -> str:
    """Digits and a point, without the signs between groups."""
    written = written.replace(" ", "").replace("'", "").replace("_", "")
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)*,[0-9]+", written) and not re.fullmatch(r"[0-9]{1,3},[0-9]{3}", written):
        whole, _, decimals = written.partition(",")
        return f"{whole.replace('.', '')}.{decimals}"
    if written.count(".") > 1:
        return written.replace(".", "")
    return written.replace(",", "")


def _with_tail(value: Fraction, tail: str, algebra: bool) -> Quantity | None:
    """The number with what stands behind it: a percent sign, a scale that multiplies it, a unit."""
    if _PERCENT.fullmatch(tail):
        return Quantity(value, percent=True)
    half = _HALF.match(tail)
    if half is not None and value.denominator == 1 and SCALES.get(half["part"].lower(), 1) < 1:
        value, tail = value + SCALES[half["part"].lower()], tail[half.end() :]
    scale = _SCALE.match(tail)
    if scale is not None:
        word = scale["word"]
        factor = SCALES.get(word if len(word) == 1 else word.lower())  # 5 k is 5000, 5 K a temperature
        if not scale["space"] and factor is None:
            factor = ATTACHED_SCALES.get(word)
        if factor is not None:
            value, tail = value * factor, tail[scale.end() :]
    if tail.startswith("^"):  # 14^2 cm is no 14
        return None
    unit = tail.strip(f" .,;:-/{SIGNS}$")
    if not unit and not tail.strip(f" .,;:{SIGNS}$"):
        return Quantity(value)
    letters = LETTERS
    if algebra and not tail.startswith(" "):  # 5A is a product, 5 A a current
        letters = frozenset()
    return Quantity(value, unit=unit_of(unit)) if is_unit(unit, letters) else None


def _without_latex(text: str) -> str:
    text = _FRACTION.sub(_fraction, _WRAPPED.sub(r"\1", text))
    for _ in range(2):
        text = _GROUP.sub(r"\1", text)
    return text.replace("^\\circ", " degrees").replace("\\Omega", "Ω").strip()


def _fraction(match: re.Match[str]) -> str:
    return f" {match['top'] or match['digit']}/{match['bottom'] or match['last']} "
