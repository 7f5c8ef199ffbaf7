r"""The value that unmarked text ends in: its last formula, or its last number where nothing beside it changes it.

A number in a sentence may be an operand, an index, a bound, or one of several. So it counts only with what may stand
beside a value on its left and its right; everything else is no answer.
"""

from __future__ import annotations

import re
import unicodedata

from reasonenv.verify.marks import without_parenthesis
from reasonenv.verify.notation import characters
from reasonenv.verify.numeric import CURRENCY, DECIMAL, INTEGER, MAX_LENGTH, parse_number
from reasonenv.verify.units import ATTACHED_SCALES, SCALES, WORD_PROBLEM_LETTERS, is_unit

_WINDOW = 2 * MAX_LENGTH  # a number that the window cuts is longer than any that parses
_LATEX_FRACTION = r"\\[dt]?frac\s*\{\s*-?[0-9]+\s*\}\s*\{\s*[0-9]+\s*\}"
_TEN_TO_THE = r"\s*(?:\\times|\\cdot|[x×*·])\s*10\s*\^\s*"
_LATEX_GROUPS = r"[0-9]{1,3}(?:(?:\{,\}|\\[,;! ]|,\\!)\s?[0-9]{3})+(?:\.[0-9]+)?(?![0-9])"

# A number inside running text. A minus after an operand subtracts ("10-5", "12 -5"); elsewhere it is a sign.
NUMBER = re.compile(
    rf"(?:(?<![\w)\]}}%])(?<![0-9)\]}}%] )-\s?(?=\\?(?:{CURRENCY})?\s?[0-9.\\])|\b(?:minus|negative)\s+(?=[0-9$]))?"
    rf"(?:\\?(?:{CURRENCY})\s?)?"
    rf"(?:{_LATEX_GROUPS}|(?:{INTEGER}\s?)?{_LATEX_FRACTION}"
    rf"|(?<!/)(?:{INTEGER} )?{INTEGER}/{INTEGER}(?![0-9/])"  # 12/25/2024 is no fraction
    rf"|{DECIMAL}(?:[eE][-+]?[0-9]+(?![0-9A-Za-z])|{_TEN_TO_THE}(?:-?[0-9]+|\{{-?[0-9]+\}}))?)"
)
# What makes a number the operand of a larger expression: a variable, root or constant behind it ("2p", "2\\pi"),
_FACTOR = (
    r"(?![mgshlLWVJNCF])[A-Za-z](?![A-Za-z])"
    r"|\s*+(?:\^|[π√]|\\(?:pi|sqrt|[dt]?frac|cdot|times)(?![A-Za-z])|(?:pi|sqrt)\b)"
)
# .. an operator and an operand, or a bracket.
CONTINUES = re.compile(rf"\(|{_FACTOR}|\s*+[-+*/×÷−–^]\s*+(?:[$(]|\.?[0-9]|[A-Za-z](?![A-Za-z]))")
_CENTS = re.compile(rf"(?:{CURRENCY}\s?)?{INTEGER}(?:\s+(?:dollars?|euros?))?\s+and\s+[0-9]{{1,2}}\s+cents?")

_DRESS = " \t*`\"'$"
_SPACES = "".join(c for c in map(chr, range(0x3001)) if c.isspace())
# All that may stand in a number. Its letters are those of \\dtfrac, \\times, \\cdot, minus, negative, x, e, and codes.
_IN_NUMBERS = "0123456789.,+-$€£¥₹₽฿/\\{}^×*'_!; " + _SPACES + "abcdefghimnorstuvxEUSDRPHKAOCJGBYINZL"
_WORD = re.compile(r"[^\W\d_]+$")
_SCALE = re.compile(
    rf"\s*-?(?i:{'|'.join(sorted(SCALES, key=len, reverse=True))})\b|(?:{'|'.join(ATTACHED_SCALES)})\b"
    r"|\s+and\s+(?:a\s+|one\s+)?(?:half|quarter|third)\b"
)
_PERCENT = re.compile(r"\s*(?:%|\\%|‰|per\s?cent\b)")
# Words in front of a number that make it something else than the value: a bound, an alternative, a name.
_BEFORE = frozenset(
    """
    not than least most or nor between below above under over within neither either never cannot plus times
    step problem question exercise example figure table part option case chapter page line item section
    log ln lg sin cos tan cot sec csc exp sqrt root base mod modulo
    """.split()  # noqa: SIM905
)
_PAIR = re.compile(r"[0-9]\S*\s+(?:and|to|through|until)$|[0-9]\)?\s*[,;&]\s*(?:and|or)?$|[0-9]$")
_UNIT_BEFORE = re.compile(r"[0-9]\s*([A-Za-z]+)\.?$")
# Words behind a number that change it or take it back.
_BEHIND = re.compile(
    r"\s+(?:or|nor|below|squared|cubed|factorial|mod|modulo|over|plus|minus|divided|point|root"
    r"|(?:more|less|fewer)\s+than\s+[a-z]|(?:is|was)\s+(?:not|wrong|incorrect|false|impossible))\b",
    re.IGNORECASE,
)
_VARIABLE = re.compile(rf"\s+(?![aAI{''.join(sorted(WORD_PROBLEM_LETTERS))}])[A-Za-z](?![\w'.)&])")
_ATTACHED = re.compile(r"[A-Za-z]+")
_FORMULA = re.compile(r"(?:\$\$|\$|\\\(|\\\[)(?P<body>(?:\\\$|[^$\n&]){1,400}?)(?:\$\$|\$|\\\)|\\\])[\s.!,;:*_)]*$")
_WORDS = re.compile(r"(?<![\\A-Za-z])(?!sqrt|pi\b|sin|cos|tan|log|ln\b|frac)[A-Za-z]{2,}")
_NOTE = re.compile(r"(?<=[\w.])\s+\((?P<inside>[^()\n]{1,200})\)[\s.!*_]{0,8}$")
_EXPLAINS = re.compile(r"[A-Za-z]{2,}|[0-9]\s*[-+*/×=]\s*[0-9]")
_SCALE_WORDS = "|".join(sorted(SCALES, key=len, reverse=True))
_CHANGES = re.compile(rf"\b(?:or|nor|not|base|mod|in|{_SCALE_WORDS})\b", re.IGNORECASE)
_BULLETS = re.compile(r"[#\s>*•_]*(?:-+\s)?[\s*_`\"'$]*")
_UNCLOSED_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{\s*\}?$")
_CONTEXT = 48  # characters that are looked at on each side of a number
_MAX_BARE = 60  # characters of a text that is nothing but its answer


def last_value(text: str) -> str | None:
    """The value that the text ends in, as written; None if there is none, or if what stands beside it changes it."""
    text = without_note(without_parenthesis(characters(text).strip()))
    if not text:
        return None
    formula = _FORMULA.search(text, max(0, len(text) - _WINDOW))
    if formula is not None and not _WORDS.search(formula["body"]):
        free = _may_precede(text[: formula.start()][-_CONTEXT:], "")
        return _of_formula(formula["body"].strip()) if free else None
    number = last_number(text)
    if number is None and len(text) <= _MAX_BARE and not _WORDS.search(text):  # nothing but an expression
        return text
    if number is None and len(text) <= _MAX_BARE and parse_number(text) is not None:  # a number in words
        return text
    return number


def without_note(text: str) -> str:
    """A sentence without a bracket at its end that calculates or explains: "The total is 73 (60 + 13)"."""
    note = _NOTE.search(text, max(0, len(text) - _WINDOW))
    if note is None or not _EXPLAINS.search(note["inside"]) or _CHANGES.search(note["inside"]):
        return text
    return text[: note.start()]


def last_number(text: str) -> str | None:
    """The last number in the text with its scale and percent sign; None if what stands beside it changes it."""
    end = 1 + max(text.rfind(digit) for digit in "0123456789")
    if end == 0:
        return None
    line = text.rfind("\n", 0, end) + 1  # no number goes over a line
    window = max(line, end - _WINDOW)
    start = window + len(text[window:end].rstrip(_IN_NUMBERS))  # no number goes over what is in none
    numbers = list(NUMBER.finditer(text, start, end + 4))  # closing braces belong to the number
    if not numbers:
        return None
    begin, stop = numbers[-1].span()
    for cents in _CENTS.finditer(text, window, end + len(" cents")):
        begin, stop = cents.span()
    for behind in (_SCALE, _PERCENT):
        tail = behind.match(text, stop)
        stop = tail.end() if tail else stop
    if text[begin] == "-" and not text[line:begin].strip() and text[begin + 1] == " " and text[begin + 2].isdigit():
        begin += 2  # a bullet
    before, after = text[max(line, begin - _CONTEXT) : begin], text[stop : stop + _CONTEXT]
    if _may_precede(before, after) and _may_follow(after):
        return text[begin:stop]
    return None


def _of_formula(body: str) -> str:
    """The value of a formula: its right side where that is a number, else all of it."""
    right = body.rpartition("=")[2].strip()
    return right if parse_number(right) is not None else body


def _may_precede(before: str, after: str) -> bool:
    """Whether a value may stand behind `before` on its line: a word, an equals sign, an opening bracket around it."""
    head = _UNCLOSED_BOX.sub("", before.rstrip(_DRESS))
    if not head or _BULLETS.fullmatch(before):
        return True
    last = head[-1]
    if last == "_":
        return head[:-1].rstrip(" _") == "" or head.endswith((" _", " __"))
    if last.isalpha():
        return _word_may_precede(head, attached=before == head)
    if last == "(":
        return (head == "(" or head[-2:-1].isspace()) and re.match(r"[^()0-9]*\)", after) is not None
    if last in ",;" or last.isdigit():
        return _PAIR.search(head) is None
    if last == ":":
        return not (head[-2:-1].isdigit() and before.endswith(":"))
    if last in "=>":
        return head[-2:-1] not in ("<", "!") and (last == "=" or head[-2:-1] in ("-", "=", ">"))
    if last in ")]":
        return re.search(r"[A-Za-z]\)$|(?:^|\s)\(?[0-9A-Za-z]\)$", head) is not None
    if last == "-":  # a dash behind a word; behind an operand it subtracts
        return re.search(r"[A-Za-z]{2,}[.:)]?\s+-+$", head) is not None
    return last in ".?!|#[∴→⇒" or unicodedata.category(last) == "So"


def _word_may_precede(head: str, attached: bool) -> bool:
    word = _WORD.search(head)
    assert word is not None
    if not word[0].isascii():
        return True
    lower = word[0].lower()
    if attached or lower in _BEFORE or (len(lower) == 1 and lower not in "ax"):
        return False
    if head[word.start() - 1 : word.start()] == "\\":
        return lower in ("approx", "therefore", "implies", "rightarrow", "to")
    unit = _UNIT_BEFORE.search(head)
    return _PAIR.search(head) is None and not (unit is not None and is_unit(unit[1]) and lower not in ("in", "a"))


def _may_follow(after: str) -> bool:
    """Whether a value may stand in front of `after`: the end, a word that is no operator, its unit."""
    attached = _ATTACHED.match(after)
    if attached is not None and not (is_unit(attached[0]) or attached[0] in ("st", "nd", "rd", "th")):
        return False
    if CONTINUES.match(after) or _BEHIND.match(after) or _VARIABLE.match(after):
        return False
    return not after.startswith(("_", "}{", "\\"))
