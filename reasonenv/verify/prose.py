r"""The value that unmarked text ends in: its last formula, or its last number where nothing beside it changes it.

A number in a sentence may be an operand, an index, a bound, or one of several. So it counts only with what may stand
beside a value on its left and its right; everything else is no answer.
"""

from __future__ import annotations

import re
import unicodedata

from reasonenv.verify.marks import without_parenthesis
from reasonenv.verify.notation import characters
from reasonenv.verify.numeric import CURRENCY, DECIMAL, INTEGER, MAX_LENGTH, SIGNS, parse_number
from reasonenv.verify.units import ATTACHED_SCALES, LETTERS, SCALE_WORDS, is_unit

WINDOW = 2 * MAX_LENGTH  # a number that the window cuts is longer than any that parses
_LATEX_FRACTION = r"\\[dt]?frac\s*\{\s*-?[0-9]+\s*\}\s*\{\s*[0-9]+\s*\}"
_TEN_TO_THE = r"\s*(?:\\times|\\cdot|[x×*·])\s*10\s*\^\s*"
_LATEX_GROUPS = r"[0-9]{1,3}(?:(?:\{,\}|\\[,;:>! ]|,\\!)\s?[0-9]{3})+(?:\.[0-9]+)?(?![0-9])"

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
_IN_NUMBERS = "0123456789.,+-$/\\{}^×*'_!;:> " + SIGNS + _SPACES + "abcdefghikmnoprstuvxEUSDRPHKAOCJGBYINZLMTXF"
_WORD = re.compile(r"[^\W\d_]+$")
_SCALE = re.compile(
    rf"\s*-?(?i:{SCALE_WORDS})\b|(?:{'|'.join(ATTACHED_SCALES)})\b"
    r"|\s+and\s+(?:(?:a|one|two|three)\s+)?(?:half|quarters?|thirds?|fourths?)\b"
)
_PERCENT = re.compile(r"\s*(?:%|\\%|‰|per\s?cent(?:age)?\b|pct\b)")
# Words in front of a number that make it something else than the value: a bound, an alternative, a name, a factor.
_BEFORE = frozenset(
    """
    not than least most or nor between below above under over within neither either never cannot plus times twice double
    triple half thrice remainder choose longer maybe perhaps possibly
    step problem question exercise example figure table part option case chapter page line item section theorem lemma
    equation corollary proposition formula rule
    january february march april may june july august september october november december
    log ln lg sin cos tan cot sec csc exp sqrt root base mod modulo
    """.split()  # noqa: SIM905
)
# "of" makes a number the value only behind these ("a total of 7"); elsewhere it is a part or a function of it.
_WHOLES = (
    r"(?:total|sum|cost|price|profit|loss|amount|number|average|value|result|answer|speed|area|volume|perimeter|distance"
    r"|length|rate|score|weight|height|age|temperature|change|difference|product|population|salary|income|balance|bill)"
)
_OF_A_WHOLE = re.compile(rf"\b{_WHOLES}\s+of$", re.IGNORECASE)
# Phrases in front of a number that do the same: another number before it, a bound, a divisor, a denial.
_PHRASES_BEFORE = re.compile(
    r"[0-9]\S*\s+(?:and|to|through|until|by|in)$|\bone\s+in$|[0-9]\)?\s*[,;&]\s*(?:and|or)?$|[0-9]$"
    r"|[0-9]\s*[A-Za-z]+\s+and$|\bof$|\bto\s+the$|\b(?:up|prime)\s+to$|\b(?:divided|divisible|multiplied)\s+by$"
    r"|\b(?:not|never|cannot|can't|isn't|wasn't|aren't|neither|used\s+to|different\s+from|excluded?)\b[^,.;:]*$",
    re.IGNORECASE,
)
_UNIT_BEFORE = re.compile(r"[0-9]\s*([A-Za-z]+)\.?$")
_NAME_IN_LIST = re.compile(r"(?:\bor|[0-9](?:\s+\w+)?\s*(?:,|;|\band))\s*[A-Za-z](?:_\w)?\s*=$", re.IGNORECASE)
# An equation in a variable is no value: "x + 3 = 60", "2x = 60".
_EQUATION = re.compile(
    r"(?:^|[\s(])(?:[0-9]+[b-zB-Z]|[b-zB-Z]\s*[-+*/^]\s*[0-9A-Za-z]+|[0-9]+\s*[-+*/^]\s*[b-zB-Z])\s*=$"
)
# Words behind a number that change it or take it back.
_BEHIND = re.compile(
    r"\s+(?:or|nor|below|squared|cubed|factorial|mod|modulo|over|plus|minus|divided|point|root"
    r"|(?:more|less|fewer)\s+than\s+[a-z]|(?:is|was)\s+(?:not|wrong|incorrect|false|impossible|too)|score|before"
    r"|per\s+(?:hundred|thousand|mille?|million)|[a-z]+illions?|googols?|myriads?)\b",
    re.IGNORECASE,
)
_VARIABLE = re.compile(rf"\s+(?![aAI{''.join(sorted(LETTERS))}])[A-Za-z](?![\w'.)&])")
_ATTACHED = re.compile(r"[A-Za-z]+")
_FORMULA = re.compile(r"(?:\$\$|\$|\\\(|\\\[)(?P<body>(?:\\\$|[^$\n&]){1,400}?)(?:\$\$|\$|\\\)|\\\])[\s.!,;:*_)]*$")
_WORDS = re.compile(r"(?<![\\A-Za-z])(?!sqrt|pi\b|sin|cos|tan|log|ln\b|frac)[A-Za-z]{2,}")
_NOTE = re.compile(r"(?<=[\w.*$`%])\s+(?:\(|\[)(?P<inside>[^()\[\]\n]{1,200})(?:\)|\])[\s.!*_]{0,8}$")
_EXPLAINS = re.compile(r"[A-Za-z]{2,}|[0-9]\s*[-+*/×x=]\s*[0-9]")
_CHANGES = re.compile(rf"\b(?:or|nor|not|base|mod|in|{SCALE_WORDS})\b", re.IGNORECASE)
_BULLETS = re.compile(r"[#\s>*•_]*(?:-+\s)?[\s*_`\"'$]*")
_UNCLOSED_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{\s*\}?$")
_ASIDE = re.compile(r"(?<=[\w%]),? (?:i\.e\.|that is,) [^\n]{0,400}$")
_CONTEXT = 48  # characters that are looked at on each side of a number
_MAX_BARE = 60  # characters of a text that is nothing but its answer


def last_value(text: str) -> str | None:
    """The value that the text ends in, as written; None if there is none, or if what stands beside it changes it."""
    text = without_note(without_parenthesis(_ASIDE.sub("", characters(text).strip())))
    if not text:
        return None
    formula = _FORMULA.search(text, max(0, len(text) - WINDOW))
    if formula is not None and not _WORDS.search(formula["body"]):
        line = text[: formula.start()].rpartition("\n")[2]
        free = _may_precede(line[-_CONTEXT:], "")
        return _of_formula(formula["body"].strip()) if free else None
    number = last_number(text.replace(r"\(", "$").replace(r"\)", "$"))
    if number is None and len(text) <= _MAX_BARE and not _WORDS.search(text):  # nothing but an expression
        return text
    if number is None and len(text) <= _MAX_BARE and parse_number(text) is not None:  # a number in words
        return text
    return number


def without_note(text: str) -> str:
    """A sentence without a bracket at its end that calculates or explains: "The total is 73 (60 + 13)"."""
    note = _NOTE.search(text, max(0, len(text) - WINDOW))
    if note is None or not _EXPLAINS.search(note["inside"]) or _CHANGES.search(note["inside"]):
        return text
    return text[: note.start()]


def last_number(text: str) -> str | None:
    """The last number in the text with its scale and percent sign; None if what stands beside it changes it."""
    end = 1 + max(text.rfind(digit) for digit in "0123456789")
    if end == 0:
        return None
    line = text.rfind("\n", 0, end) + 1  # no number goes over a line
    window = max(line, end - WINDOW)
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
        word = _WORD.search(head[:-1].rstrip())
        named = word is not None and word[0].lower() in _BEFORE
        return not named and (head == "(" or head[-2:-1].isspace()) and re.match(r"[^()0-9]*\)", after) is not None
    if last in ",;" or last.isdigit():
        return _PHRASES_BEFORE.search(head) is None
    if last in ":.":  # 7:32 and 3.4.7 are one thing
        return not head[:-1].rstrip(" " if last == ":" else "")[-1:].isdigit() or (last == "." and before != head)
    if last == "=":
        one_of_several = _NAME_IN_LIST.search(head) is not None  # x = 2 or x = 3
        return head[-2:-1] not in ("<", ">", "!") and _EQUATION.search(head) is None and not one_of_several
    if last == ">":
        return head[-2:-1] in ("-", "=", ">")
    if last in ")]":
        return re.search(r"[A-Za-z]\)$|(?:^|\s)\(?[0-9A-Za-z]\)$", head) is not None
    if last == "-":  # a dash behind a word; behind an operand it subtracts
        return re.search(r"[A-Za-z]{2,}[.:)]?\s+-+$", head) is not None
    return last in "?!|#[∴→⇒" or (unicodedata.category(last) == "So" and last != "°")


def _word_may_precede(head: str, attached: bool) -> bool:
    word = _WORD.search(head)
    assert word is not None
    if not word[0].isascii():
        return True
    lower = word[0].lower()
    if head[word.start() - 1 : word.start()] == "'" and lower in ("s", "re"):  # it's 7
        return True
    if attached or lower in _BEFORE or (len(lower) == 1 and lower != "a"):
        return False
    if head[word.start() - 1 : word.start()] == "\\":
        return lower in ("approx", "therefore", "implies", "rightarrow", "to")
    if lower == "of" and _OF_A_WHOLE.search(head):
        return True
    unit = _UNIT_BEFORE.search(head)
    return _PHRASES_BEFORE.search(head) is None and (unit is None or lower == "a" or not is_unit(unit[1]))


def _may_follow(after: str) -> bool:
    """Whether a value may stand in front of `after`: the end, a word that is no operator, its unit."""
    attached = _ATTACHED.match(after)
    if attached is not None and not is_unit(attached[0]):
        return False
    if after.lstrip()[:1] in ("%", "‰"):  # a second one
        return False
    if CONTINUES.match(after) or _BEHIND.match(after) or _VARIABLE.match(after):
        return False
    return not after.startswith(("_", "}{", "\\"))
