r"""One spelling for what can be written in many: Unicode, LaTeX styles and spacing, Markdown.

Every layer that reads an answer (numbers, algebra, choices, words) reads `plain(text)`, so a character or a command is
described here and nowhere else. Nothing is dropped that could change a value: what is not known stays and makes the
answer unreadable.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MAX_PLAIN = 2_000  # characters; longer answers keep their styles and are unreadable
_MAX_ROUNDS = 8  # of rewriting: styles nested deeper stay

# Runs of super- and subscript characters become one exponent or index; these mark their ends while they are joined.
_SUPER, _SUB, _END = "\x01", "\x02", "\x03"
_KEPT_CONTROLS = "\t\n\r\x0b\x0c"

_NAMED = {
    **dict.fromkeys("−﹣－", "-"),
    **dict.fromkeys("⁄∕／÷", "/"),
    **dict.fromkeys("∶：ː", ":"),
    **dict.fromkeys("‘’‛′ʹʼ＇", "'"),
    **dict.fromkeys("“”„‟«»‹›「」『』《》〝〞", '"'),
    **dict.fromkeys("，、﹐", ","),
    **dict.fromkeys("。．｡﹒", "."),
    **dict.fromkeys("【〔", "["),
    **dict.fromkeys("】〕", "]"),
    **dict.fromkeys("⟨〈", r"\langle "),
    **dict.fromkeys("⟩〉", r"\rangle "),
    **dict.fromkeys("≈≅≃∼≒", r"\approx "),
    **dict.fromkeys("⋯…", "..."),
    "″": "''",
    "٫": ".",
    "٬": ",",
    "٪": "%",
    **dict.fromkeys("∙‧", "·"),
    **dict.fromkeys("⨯✕✖", "×"),
    **dict.fromkeys("˚º", "°"),
    "℃": "°C",
    "℉": "°F",
    "،": ",",
    "∛": r"\sqrt[3]",
    "∜": r"\sqrt[4]",
    "⌊": r"\lfloor ",
    "⌋": r"\rfloor ",
    "⌈": r"\lceil ",
    "⌉": r"\rceil ",
    "∖": r"\setminus ",
    "µ": "μ",
    "㎝": "cm",
    "㎜": "mm",
    "㎞": "km",
    "㎏": "kg",
    "㎡": "m^{2}",
    "㎥": "m^{3}",
    "ℝ": r"\mathbb{R}",
    "ℤ": r"\mathbb{Z}",
    "ℕ": r"\mathbb{N}",
    "ℚ": r"\mathbb{Q}",
    "ℂ": r"\mathbb{C}",
}


class _Spellings(dict[int, str]):
    """Code point to its spelling, worked out when a character is met for the first time."""

    def __missing__(self, code: int) -> str:
        self[code] = spelling = _spelling(chr(code))
        return spelling


def _spelling(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    category = unicodedata.category(character)
    if category == "Cc":  # a control code is nobody's answer, and the three marks must not come from outside
        return character if character in _KEPT_CONTROLS else "�"
    if character.isascii():
        return character
    kind, _, _ = unicodedata.decomposition(character).partition(" ")
    compatible = unicodedata.normalize("NFKC", character)
    if kind == "<fraction>":
        top, _, bottom = compatible.partition("⁄")
        return rf"\frac{{{top}}}{{{bottom or 'x'}}}"
    if kind == "<super>":
        return f"{_SUPER}{compatible.translate(_SPELLINGS)}{_END}"
    if kind == "<sub>":
        return f"{_SUB}{compatible.translate(_SPELLINGS)}{_END}"
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Zs":
        return " "
    if category == "Pd":
        return "-"
    if category == "Cf":  # zero width and direction marks: a reader does not see them
        return ""
    if kind in ("<font>", "<wide>", "<narrow>", "<small>"):
        return compatible.translate(_SPELLINGS)
    return character


_SPELLINGS = _Spellings()
_JOINS = ((_END + _SUPER, ""), (_END + _SUB, ""), (_SUPER, "^{"), (_SUB, "_{"), (_END, "}"))


def characters(text: str) -> str:
    r"""The text in ASCII where there is an ASCII spelling: digits of every script, signs, spaces, brackets, quotes.

    Fractions become LaTeX (`½` is `\frac{1}{2}`), raised and lowered characters `^{..}` and `_{..}`, and characters
    without width are dropped. Linear in the length of the text.
    """
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFC", text).translate(_SPELLINGS)
    if _END in text:
        for marks, spelling in _JOINS:
            text = text.replace(marks, spelling)
    return text


# Commands, and what is written instead. An empty text drops the command and keeps what it is applied to.
_DROPPED = """
    mathbf boldsymbol bm pmb mathit mathsf mathtt mathnormal underline ensuremath bf it sf tt rm
    tiny scriptsize footnotesize small normalsize large Large LARGE huge Huge
    displaystyle textstyle scriptstyle limits nolimits left right middle
    big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr negthinspace nobreak ! ( ) [ ]
    mathord mathbin mathrel mathpunct mathstrut strut hfill notag nonumber hline checkmark therefore
"""
_SPELLED = {
    r"\text": "textbf textit textrm textsf textsl textsc texttt emph textup textnormal mbox hbox mathrm operatorname",
    r"\frac": "dfrac tfrac cfrac nicefrac sfrac flatfrac",
    r"\approx": "approx approxeq thickapprox simeq sim doteq cong",
    "...": "ldots dots cdots dotsc dotsb",
    r"^\circ": "textdegree degree",
    " ": ", ; : > thinspace medspace thickspace space nobreakspace",
    "  ": "quad qquad enspace",
    r"\setminus": "backslash smallsetminus",
    r"\mathbb{R}": "R",
    r"\sqrt": "surd",
    r"\cup": "bigcup",
    r"\cap": "bigcap",
    "$": "$ textdollar",
    "£": "pounds",
    "€": "euro",
    ":": "colon",
    "<": "lt",
    ">": "gt",
    "~": "textasciitilde",
}
_COMMANDS = dict.fromkeys(_DROPPED.split(), "")
_COMMANDS |= {command: spelling for spelling, commands in _SPELLED.items() for command in commands.split()}
_COMMANDS |= {" ": " ", **{sign: sign for sign in "%#&_'"}}
_COMMAND = re.compile(
    r"\\(?:(?P<delimiter>(?:left|right)\s*\.)|(?P<name>[A-Za-z]+)(?:(?<=operatorname)\*)?|(?P<sign>.))", re.DOTALL
)
_UNSEEN = re.compile(
    r"\\(?:h?phantom|vphantom|hspace\*?|vspace\*?|tag\*?|label|color)\s*\{[^{}]*\}"
    r"|\\(?=textcolor|colorbox)[a-z]+\s*(?:\[[^\[\]]*\])?\{[^{}]*\}"
)
_BLACKBOARD = re.compile(
    r"\\(?:(?:mathbb|mathds|Bbb)\s*(?:\{\s*([RZNQC])\s*\}|([RZNQC])(?![A-Za-z]))"
    r"|(?:mathbf|bm|boldsymbol)\s*(?:\{\s*([RZNQ])\s*\}|([RZNQ])(?![A-Za-z])))"  # a bold C is a choice
)
_UNIT_VECTOR = re.compile(
    r"\\(?:hat|vec)\s*\{\s*\\(?:mathbf|boldsymbol|bm)\s*\{\s*\\?([ijk])(?:math)?\s*\}\s*\}"
    r"|\\(?:mathbf|boldsymbol|bm|vec|hat)\s*(?:\{\s*\\?([ijk])(?:math)?\s*\}|\\([ij])math(?![A-Za-z]))"
)
_NESTED_TEXT = re.compile(r"\\text\s*\{\s*\\text\s*\{([^{}]*)\}\s*\}")
_LONE_SIGN = re.compile(r"(\\[A-Za-z]+\s*|[\^_}]\s*)?\{\s*(,|\.|:|=|\+|-|%|<|>)?\s*\}")
_COMMA_SPACE = re.compile(r"(?<=[0-9]),\s*\\[!, ;:]\s*(?=[0-9]{3}(?![0-9]))")
_RING = r"(?:\\circ(?![A-Za-z])|\\text\s*\{\s*o\s*\}|o(?![A-Za-z]))"
_DEGREES = re.compile(rf"\^\s*(?:{_RING}|\{{\s*{_RING}\s*\}}|\{{\s*\{{\s*{_RING}\s*\}}\s*\}})\s*")
_NOT_EQUAL = re.compile(r"\\not\s*=")
# Equations behind one brace, however they are put below one another.
_BRACED_SYSTEM = re.compile(
    r"\\left\s*\\(?:\{|lbrace)\s*\\begin\{(array|aligned|matrix|gathered)\}(?:\{[lcr\s]*\})?"
    r"((?:(?!\\begin|\\end).)*)\\end\{\1\}\s*\\right\s*\.",
    re.DOTALL,
)
# 0.333... is no 0.333, and a list that goes on is no list that ends.
UNFINISHED = re.compile(r"(?:\.[0-9]*([0-9])\1\1|,\s*)\.\.\.(?=[\s*`$\".,;:]*$)")
_LINE_ENDS = re.compile(r"(?:\\\\)++$")
_LONE_BACKSLASH = re.compile(r"(?<!\\)\\$")  # of a space at the end: "7\\,"
_MARKUP = ' \t\r\n*`$"'
_LONE_STAR = re.compile(r"[^*]*[^*\s]\*")  # an operator without its operand


def plain(text: str) -> str:
    r"""The answer `text` without what only changes its looks, in one spelling, to a fixpoint.

    `characters`, and: colour, size, spacing, phantoms and tags are dropped; all upright commands are `\text`, all
    fractions `\frac`, bold and slanted mathematics is itself; a sign in a group stands alone (`1{,}234`); Markdown,
    dollar signs and full stops at the ends are dropped. A text of more than `MAX_PLAIN` characters keeps its commands.
    """
    if text.isalnum() and text.isascii():  # most answers
        return text
    return _plain(text)


@lru_cache(maxsize=16_384)  # a gold is read at every sample of its problem, and a policy repeats itself
def _plain(text: str) -> str:
    text = characters(text)
    if len(text) > MAX_PLAIN or not ("\\" in text or "{" in text or "~" in text):
        return _stripped(text)
    for _ in range(_MAX_ROUNDS):
        before = text
        text = _stripped(_rewritten(text))
        if text == before:
            break
    return text


def _stripped(text: str) -> str:
    """Without Markdown, dollar signs and white space at the ends, and stops at the right one."""
    while True:
        before = text
        text = text.lstrip(_MARKUP)
        if _LONE_STAR.fullmatch(text):
            return text
        end = UNFINISHED.search(text)
        text = text[: end.end()] if end else _LONE_BACKSLASH.sub("", text.rstrip(_MARKUP + ".,;:"))
        if text.endswith("_"):
            text = text[:-1].removeprefix("_")
        if text == before:
            return text


def _rewritten(text: str) -> str:
    text = _BLACKBOARD.sub(r"\\mathbb{\1\2\3\4}", _UNIT_VECTOR.sub(r"\\hat{\1\2\3}", text))
    text = _LINE_ENDS.sub("", _COMMA_SPACE.sub(",", _UNSEEN.sub("", text)))
    text = _NOT_EQUAL.sub(r"\\ne ", _BRACED_SYSTEM.sub(r"\\begin{aligned}\2\\end{aligned}", text))
    text = _COMMAND.sub(_command, text.replace("~", " "))
    text = _DEGREES.sub(r"^\\circ ", text)
    return _LONE_SIGN.sub(_lone_sign, _NESTED_TEXT.sub(r"\\text{\1}", text))


def _command(match: re.Match[str]) -> str:
    if match["delimiter"]:
        return ""
    name = match["name"] or match["sign"]
    if name not in _COMMANDS:
        return match[0]
    spelling = _COMMANDS[name]
    follows = match.string[match.end() : match.end() + 1]
    if spelling.startswith("\\") and spelling[-1].isalpha() and follows.isalpha():
        return spelling + " "
    return spelling


def _lone_sign(match: re.Match[str]) -> str:
    command, sign = match[1], match[2]
    if command and not (command == "}" or (sign is None and command == "_")):
        return match[0]
    return (command or "") + (sign or "")
