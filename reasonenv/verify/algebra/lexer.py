r"""LaTeX and plain mathematics to tokens, by one pattern and a whitelist: what is not on it makes the text unreadable.

Dress is dropped here (`\left`, `\,`, `$`, `%`), spellings are united (`\dfrac`, `\leq`, `**`, `π`), and a run of
letters is told apart as a function, a constant, a product of variables, or a word.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from reasonenv.verify.algebra.expression import Unreadable
from reasonenv.verify.numeric import MAX_EXPONENT

MAX_TEXT = 1_000  # characters
MAX_TOKENS = 400
MAX_DIGITS = 400  # of one literal

_FUNCTIONS = "sin cos tan cot sec csc asin acos atan sinh cosh tanh ln log exp sqrt abs"
_GREEK_NAMES = "alpha beta gamma delta epsilon theta lambda mu nu rho sigma tau phi varphi omega ell"
# Short runs of letters that are words; other runs of up to three letters are products of variables.
_SHORT_WORDS = (
    "no yes odd is it all if to by of the not any one two six ten per cm mm km kg mg ft lb oz mi hr hrs min mph ml deg "
    "in rad usd a an at on as be so we for but nor has are was its"
)


class Token(NamedTuple):
    """`kind` is num, var, const, name (function or construct), text, word, begin, end, or the symbol itself."""

    kind: str
    text: str = ""
    value: Fraction = Fraction(0)


_SPELLINGS = {
    **dict.fromkeys(("cdot", "times", "ast", "*", "·", "×", "⋅", "∗"), "*"),
    **dict.fromkeys(("div", "/", "÷"), "/"),
    **dict.fromkeys(("pm", "+/-", "+-", "±"), "±"),
    **dict.fromkeys(("mp", "∓"), "∓"),
    **dict.fromkeys(("le", "leq", "leqslant", "<=", "≤"), "<="),
    **dict.fromkeys(("ge", "geq", "geqslant", ">=", "≥"), ">="),
    **dict.fromkeys(("ne", "neq", "!=", "≠"), "!="),
    **dict.fromkeys(("lt", "<"), "<"),
    **dict.fromkeys(("gt", ">"), ">"),
    **dict.fromkeys(("cup", "∪"), "∪"),
    **dict.fromkeys(("in", "∈"), "in"),
    **dict.fromkeys(("infty", "∞", "inf", "infinity", "oo"), "inf"),
    **dict.fromkeys(("emptyset", "varnothing", "∅"), "empty"),
    **dict.fromkeys(("lvert", "rvert", "vert", "|"), "|"),
    **dict.fromkeys(("{", "lbrace"), r"\{"),
    **dict.fromkeys(("}", "rbrace"), r"\}"),
    **dict.fromkeys(("langle", "lparen"), "("),
    **dict.fromkeys(("rangle", "rparen"), ")"),
    **dict.fromkeys(("degree", "°"), "°"),
    **dict.fromkeys(("lor", "or"), "or"),
    **dict.fromkeys(("land", "and"), "and"),
    **dict.fromkeys(("==", "="), "="),
    **dict.fromkeys(("**", "^"), "^"),
    **dict.fromkeys(("−", "–", "-"), "-"),
    "\\": "row",
}
_NAMES = {
    **{name: name for name in (*_FUNCTIONS.split(), "frac", "binom")},
    **dict.fromkeys(("dfrac", "tfrac", "cfrac"), "frac"),
    **dict.fromkeys(("dbinom", "tbinom"), "binom"),
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan")},
    "lg": "log",
}
_GREEK = frozenset(_GREEK_NAMES.split())
_GREEK_LETTERS = {"θ": "theta", "α": "alpha", "β": "beta", "λ": "lambda", "φ": "phi"}
_WORDS = frozenset(_SHORT_WORDS.split())

_TOKEN = re.compile(
    r"(?P<skip>\s+|\\(?:left|right)(?![A-Za-z])\s*\.?|\\(?:quad|qquad|[bB]igg?[lr]?|displaystyle|textstyle)(?![A-Za-z])"
    r"|\\[,;:!>\s()\[\]]|~|\\?[$%])"
    r"|(?P<cycle>(?P<whole>\d*)\.(?P<fixed>\d*)\\overline\s*\{(?P<repeat>\d+)\})"
    r"|(?P<based>\d+_(?:\d|\{\d+\}))"
    r"|(?P<grouped>\d{1,3}(?:(?:,|\{,\}|,\\!|\\,)\d{3})+(?![\d])(?:\.\d+)?)"
    r"|(?P<num>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,4}(?![\d.A-Za-z]))?)"
    r"|\\(?:text|textbf|textrm|textit|mbox|mathrm|mathbf|mathit|operatorname)\s*\{(?P<text>[^{}]*)\}"
    r"|(?P<reals>\\mathbb\s*\{?R\}?|\\R(?![A-Za-z])|ℝ)"
    r"|\\begin\s*\{(?P<begin>[a-zA-Z]+)\}(?:\s*\{[lcr|\s]*\})?"
    r"|\\end\s*\{(?P<end>[a-zA-Z]+)\}"
    r"|(?P<degree>\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\}))"
    r"|\\(?P<command>[A-Za-z]+|.)"
    r"|(?P<subscripted>[A-Za-z]_(?:\{[A-Za-z0-9]{1,8}\}|[A-Za-z0-9]))"
    r"|(?P<run>[A-Za-z]+)"
    r"|(?P<super>[²³])"
    r"|(?P<symbol>\*\*|<=|>=|!=|==|\+/-|\+-|[-−–+*/^_!|(){}\[\],;:=<>&·×⋅∗÷±∓≤≥≠∪∈∞∅°πθαβλφ√])",
    re.ASCII,
)
_JOINS = re.compile(r",\\!|\\,|\{,\}|,")
_DIGITS = re.compile(r"[^0-9]")
_DEPTH = {"(": 1, "[": 1, r"\{": 1, ")": -1, "]": -1, r"\}": -1}


def tokens(text: str) -> list[Token]:
    """The tokens of `text`; raises `Unreadable` for a character, command or word that the grammar does not have."""
    if len(text) > MAX_TEXT:
        raise Unreadable(f"more than {MAX_TEXT} characters")
    text = text.strip(' \t\r\n*`"').rstrip(".,;: \t\r\n*$")
    read, at, depth = list[Token](), 0, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unreadable(f"the character {text[at]!r}")
        at = match.end()
        if match.lastgroup == "grouped" and depth:  # (1,234) has two coordinates
            first = _DIGITS.split(match[0], maxsplit=1)[0]
            at = match.start() + len(first)
            new = [_number(first)]
        else:
            new = _read(match, read)
        read += new
        depth += sum(_DEPTH.get(token.kind, 0) for token in new)
        if len(read) > MAX_TOKENS:
            raise Unreadable(f"more than {MAX_TOKENS} tokens")
    return read


def _read(match: re.Match[str], before: list[Token]) -> list[Token]:
    body, kind = match[0], str(match.lastgroup)
    inner = match[kind]
    match kind:
        case "skip":
            return []
        case "cycle":
            return [_repeating(match["whole"] or "0", match["fixed"], match["repeat"])]
        case "based":
            digits, _, base = body.partition("_")
            return [Token("var", f"{digits.lstrip('0') or '0'}_{base.strip('{}')}")]
        case "grouped":
            return [_number(_JOINS.sub("", body))]
        case "num":
            return [_number(body)]
        case "text":
            return _text(inner.strip())
        case "reals":
            return [Token("("), Token("-"), Token("inf"), Token(","), Token("inf"), Token(")")]
        case "begin" | "end":
            return [Token(kind, inner)]
        case "degree":
            return [Token("°")]
        case "super":
            return [Token("^"), _number({"²": "2", "³": "3"}[body])]
        case "subscripted":
            return [Token("var", body.replace("{", "").replace("}", ""))]
        case "run":
            return _run(body, before)
        case "command":
            return _command(body, inner)
        case _:
            return _symbol(body)


def _command(body: str, name: str) -> list[Token]:
    if name in _NAMES:
        return [Token("name", _NAMES[name])]
    if name == "pi":
        return [Token("const", "pi")]
    if name in _GREEK:
        return [Token("var", name)]
    if name in _SPELLINGS:
        return [Token(_SPELLINGS[name])]
    raise Unreadable(f"the command {body}")


def _symbol(body: str) -> list[Token]:
    if body == "π":
        return [Token("const", "pi")]
    if body == "√":
        return [Token("name", "sqrt")]
    if body in _GREEK_LETTERS:
        return [Token("var", _GREEK_LETTERS[body])]
    if body in "{}":
        return [Token(body)]
    return [Token(_SPELLINGS.get(body, body))]


def _run(run: str, before: list[Token]) -> list[Token]:
    """What a run of letters stands for."""
    if run in _NAMES and run != "frac":
        return [Token("name", _NAMES[run])]
    if run == "pi":
        return [Token("const", "pi")]
    if run in _GREEK:
        return [Token("var", run)]
    if run.lower() in ("or", "and", "inf", "infinity", "oo"):
        return [Token(_SPELLINGS[run.lower()])]
    if run == "U" and before and before[-1].kind in (")", "]"):
        return [Token("∪")]
    if len(run) > 3 or (len(run) > 1 and run.lower() in _WORDS):
        return [Token("word", run)]
    return [Token("const" if letter in "ei" else "var", letter) for letter in run]


def _text(body: str) -> list[Token]:
    if body.lower() in ("or", "and"):
        return [Token(body.lower())]
    if body in _NAMES:
        return [Token("name", _NAMES[body])]
    if len(body) == 1 and body in "ei":
        return [Token("const", body)]
    return [Token("text", body)] if body else []


def _number(digits: str) -> Token:
    mantissa, _, exponent = digits.lower().partition("e")
    if len(mantissa) > MAX_DIGITS or abs(int(exponent or 0)) > MAX_EXPONENT:
        raise Unreadable(f"a number of more than {MAX_DIGITS} digits")
    return Token("num", digits, Fraction(mantissa) * Fraction(10) ** int(exponent or 0))


def _repeating(whole: str, fixed: str, repeat: str) -> Token:
    if len(whole) + len(fixed) + len(repeat) > MAX_DIGITS:
        raise Unreadable(f"a number of more than {MAX_DIGITS} digits")
    shift = 10 ** len(fixed)
    tail = Fraction(int(repeat), 10 ** len(repeat) - 1)
    return Token("num", "repeating", Fraction(int(whole + fixed), shift) + tail / shift)
