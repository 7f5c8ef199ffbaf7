r"""LaTeX and plain mathematics to tokens, by one pattern and a whitelist: what is not on it makes the text unreadable.

Looks are gone before (`notation.plain`), spellings are united here (`\leq`, `**`, `π`), and a run of letters is told
apart as a function, a constant, a product of variables, or a word. What stands in `\text{..}` is read like all else;
only a single letter there is a `letter`, because behind a value it may be a unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from reasonenv.verify.algebra import numerals
from reasonenv.verify.algebra.expression import Unreadable
from reasonenv.verify.algebra.vocabulary import (
    CAPITALS,
    FUNCTION_WORDS,
    FUNCTIONS,
    GREEK,
    GREEK_LETTERS,
    SHORT_UNITS,
    SHORT_WORDS,
    SPELLINGS,
    WORDS,
)
from reasonenv.verify.notation import plain

MAX_TEXT = 1_000  # characters
MAX_TOKENS = 400


class Token(NamedTuple):
    """`kind` is num, var, const, name (of a function), letter, word, numeral, domain, begin, end, or a symbol."""

    kind: str
    text: str = ""
    value: Fraction = Fraction(0)


_ACCENTS = {
    **dict.fromkeys(("vec", "overrightarrow"), "vec"),
    **dict.fromkeys(("hat", "widehat"), "hat"),
    **dict.fromkeys(("bar", "overline"), "bar"),
}
_KINDS = {
    "gap": r"\s\s+(?=[A-Za-z]\s*=)",  # a wide space between two equations
    "skip": r"[\s$€£¥₹¢]+",
    "repeating": numerals.REPEATING,
    "grouped": r"(?!0)[0-9]{1,3}(?:(?:,[0-9]{3})+|(?: [0-9]{3})+(?!\s*/))(?![0-9])(?:\.[0-9]+)?",
    "num": r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4}(?![0-9.A-Za-z]))?",
    "text": r"\\text\s*\{(?P<body>(?:[^{}]|\{[^{}]*\})*)\}",
    "domain": r"\\mathbb\{(?P<of>[RZNQC])\}",
    "begin": r"\\begin\s*\{(?P<opened>[a-zA-Z]+)\}(?:\s*\{[lcr|\s]*\})?",
    "end": r"\\end\s*\{(?P<closed>[a-zA-Z]+)\}",
    "degree": r"\^\s*(?:\\circ|o)(?![A-Za-z])",
    "row": r"\\(?:\\|cr(?![A-Za-z])|newline(?![A-Za-z]))\s*(?:\[[0-9a-z. -]*\])?",
    "figure": r"(?:m\s*)?\\(?:measured)?(?P<figured>angle|triangle)\s*\{?\s*(?P<corners>[A-Z]{1,4})(?![A-Za-z])\s*\}?",
    "accented": r"\\(?P<accent>vec|overrightarrow|hat|widehat|bar|overline)\s*"
    r"(?:\{\s*(?P<under>[A-Za-z]{1,4})\s*\}|(?P<bare>[A-Za-z])(?![A-Za-z]))",
    "command": r"\\(?P<named>[A-Za-z]+|.)",
    "meridiem": r"(?<=[0-9\s])(?:[ap]\.\s?m|[AP]\.\s?M)\.?",
    "abbreviated": r"approx\.",
    "run": r"[A-Za-z]+",
    "symbol": r"\*\*|<=|>=|!=|==|\+/-|\+-|\.\.\.|[-+*/^_!|(){}\[\],;:=<>&·×⋅∗÷±∓≤≥≠∪∩∈∉∞∅°'%√π∨∧"
    + "".join(GREEK_LETTERS)
    + "]",
}
_TOKEN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS.items()), re.ASCII)
_WORD = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ]+(?:[.'-][A-Za-z]+)*\.?")
_INDEX = re.compile(r"\s*_\s*(?:\{\s*[A-Za-z0-9,+-]{1,8}\s*\}|\{?\s*\\text\s*\{[A-Za-z0-9 ]{1,20}\}\s*\}?|[A-Za-z0-9])")
_PRIMES = re.compile(r"'+|\^\s*(?:\{\s*(?:\\prime\s*)+\}|\\prime(?![A-Za-z]))")
_NUMERAL_BEGINS = frozenset("0123456789ABCDEF(\\")
_DEPTH = {"(": 1, "[": 1, r"\{": 1, ")": -1, "]": -1, r"\}": -1}
_VALUE_ENDS = frozenset(("num", "var", "const", "letter", "word", ")", "]", "}", "|"))
_SET_ENDS = frozenset((")", "]", r"\}", "domain"))
_FIRST_DIGITS = re.compile(r"[0-9]+")

# Ways of writing a binomial, and what stands in a `\text` that is no word: both are rewritten before tokens are read.
_ARGUMENT = r"(?:\{{\s*(?P<{0}>[^{{}}]{{1,40}}?)\s*\}}|(?P<{0}_>[A-Za-z0-9]))"
_CHOOSE = re.compile(rf"(?<![A-Za-z0-9)}}])[_^]\s*{_ARGUMENT.format('top')}\s*C\s*_\s*{_ARGUMENT.format('bottom')}")
_CHOOSE_RAISED = re.compile(r"(?<![A-Za-z])(?:C|\\text\{C\})_(?:\{([0-9]+)\}|([0-9]))\^(?:\{([0-9]+)\}|([0-9]))")
_CHOOSE_LOWERED = re.compile(r"(?<![A-Za-z])(?:C|\\text\{C\})\^(?:\{([0-9]+)\}|([0-9]))_(?:\{([0-9]+)\}|([0-9]))")
_ANGLED = re.compile(r"<([^<>=]*,[^<>=]*)>")  # <1, 2, 3> is a vector
_NO_WORD = re.compile(r"\\text\s*\{([^{}A-Za-z\\]*)\}")
_FULL_STOP = re.compile(r"(?<!\.)\.(?=\s*\})")  # at the end of a group
_TIMES = re.compile(r"(?<=[0-9])\s*[xX]\s*(?=10\s*\^)")
_UPRIGHT_E = re.compile(r"(?<=[0-9])\\text\s*\{\s*[eE]\s*\}(?=[-+]?[0-9])")


def tokens(text: str) -> list[Token]:
    """The tokens of `text`; raises `Unreadable` for a character, command or word that the grammar does not have."""
    if len(text) > MAX_TEXT:
        raise Unreadable(f"more than {MAX_TEXT} characters")
    if text.strip() == "{}":  # a set, which LaTeX does not show
        return [Token("empty")]
    text = plain(text)
    text = _FULL_STOP.sub("", text)
    if angled := _ANGLED.fullmatch(text):
        text = rf"\langle {angled[1]}\rangle "
    if "10" in text:
        text = _TIMES.sub("*", text)
    if "\\text" in text:
        text = _NO_WORD.sub(r"\1", _UPRIGHT_E.sub("e", text))
    if "C" in text and "_" in text:
        text = _CHOOSE.sub(r"\\binom{\g<top>\g<top_>}{\g<bottom>\g<bottom_>}", text)
        text = _CHOOSE_RAISED.sub(r"\\binom{\1\2}{\3\4}", text)
        text = _CHOOSE_LOWERED.sub(r"\\binom{\3\4}{\1\2}", text)
    return _scan(text, upright=False)


def _scan(text: str, *, upright: bool) -> list[Token]:
    read, at, depth = list[Token](), 0, 0
    numerals_here = "_" in text or "ase" in text
    while at < len(text):
        if numerals_here and text[at] in _NUMERAL_BEGINS and (numeral := numerals.numeral(text, at)):
            name, at = numeral
            read.append(Token("numeral", name))
            continue
        match = _WORD.match(text, at) if upright else None
        if match is not None:
            read += _upright(match[0].rstrip("."))
            at = match.end()
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unreadable(f"the character {text[at]!r}")
        at = match.end()
        if match.lastgroup == "grouped" and depth:  # (1,234) has two coordinates
            first = _FIRST_DIGITS.match(match[0])
            assert first is not None
            at = match.start() + first.end()
            new = [_number(first[0])]
        else:
            new = list(_read(match, read))
        if new and (new[-1].kind == "var" or (new[-1].kind in ("const", "letter") and text[at : at + 1] == "_")):
            new[-1], at = _indexed(new[-1], text, at)
        read += new
        depth += sum(_DEPTH.get(token.kind, 0) for token in new)
        if len(read) > MAX_TOKENS:
            raise Unreadable(f"more than {MAX_TOKENS} tokens")
    return read


def _indexed(token: Token, text: str, at: int) -> tuple[Token, int]:
    """A variable with its index and primes, `x_{1}'`, and where they end."""
    name = token.text
    if index := _INDEX.match(text, at):
        name, at = f"{name}_{re.sub(r'[^A-Za-z0-9,+-]|text', '', index[0])}", index.end()
    if primes := _PRIMES.match(text, at):
        count = primes[0].count("'") + primes[0].count("prime")
        name, at = name + "'" * count, primes.end()
    return Token("var", name), at


def _read(match: re.Match[str], before: list[Token]) -> Iterator[Token]:
    body = match[0]
    match match.lastgroup:
        case "gap":
            if before and before[-1].kind in _VALUE_ENDS and any(token.kind == "=" for token in before):
                yield Token(",")
        case "skip":
            return
        case "repeating":
            yield Token("num", "repeating", numerals.repeating(match))
        case "grouped":
            yield _number(body.replace(",", "").replace(" ", ""))
        case "num":
            yield _number(body)
        case "text":
            yield from _scan(match["body"], upright=True)
        case "domain":
            yield Token("domain", match["of"])
        case "begin":
            yield Token("begin", match["opened"])
        case "end":
            yield Token("end", match["closed"])
        case "degree":
            yield Token("°")
        case "row":
            yield Token("row")
        case "figure":
            yield Token("var", f"{match['figured']} {match['corners']}")
        case "accented":
            yield _accented(_ACCENTS[match["accent"]], match["under"] or match["bare"])
        case "command":
            yield from _command(body, match["named"])
        case "meridiem":
            yield Token("word", body.lower())
        case "abbreviated":
            yield Token("approx")
        case "run" if body == "U" and before and before[-1].kind in _SET_ENDS:
            yield Token("∪")
        case "run":
            yield from _run(body, before)
        case _:
            yield from _symbol(body)


def _accented(accent: str, letters: str) -> Token:
    if accent == "bar" and letters.isupper():  # a segment has no direction
        letters = "".join(sorted(letters))
    return Token("var", f"{accent} {letters}")


def _command(body: str, name: str) -> Iterator[Token]:
    if name in FUNCTIONS:
        yield Token("name", FUNCTIONS[name])
    elif name == "pi":
        yield Token("const", "pi")
    elif name in GREEK:
        yield Token("var", name)
    elif name in SPELLINGS:
        yield Token(SPELLINGS[name])
    else:
        raise Unreadable(f"the command {body}")


def _symbol(body: str) -> Iterator[Token]:
    if body == "π":
        yield Token("const", "pi")
    elif body == "√":
        yield Token("name", "root")
    elif body in GREEK_LETTERS:
        yield Token("var", GREEK_LETTERS[body])
    elif body in "{}":
        yield Token(body)
    else:
        yield Token(SPELLINGS.get(body, body), body)


def _known(word: str) -> Token | None:
    """The function, constant, operator or Greek letter that a word is."""
    lower = word.lower()
    if word in FUNCTION_WORDS:
        return Token("name", FUNCTION_WORDS[word])
    if lower in WORDS:
        return Token(WORDS[lower])
    if word == "pi":
        return Token("const", "pi")
    if word in GREEK:
        return Token("var", word)
    return None


def _letter(letter: str) -> Token:
    return Token("const" if letter in "ei" else "var", letter)


def _run(run: str, before: list[Token]) -> Iterator[Token]:
    """What a run of letters stands for."""
    known = _known(run)
    # pi hr^2 is no hour, and NO a segment
    factor = (run.isupper() and run.lower() not in CAPITALS) or (
        run in SHORT_UNITS and bool(before) and before[-1].kind in ("const", "var")
    )
    if known is not None:
        yield known
    elif len(run) > 3 or (len(run) > 1 and run.lower() in SHORT_WORDS and not factor):
        yield Token("word", run)
    else:
        yield from map(_letter, run)


def _upright(word: str) -> Iterator[Token]:
    known = _known(word)
    if known is not None:
        yield known
    elif len(word) > 1:
        yield Token("word", word)
    else:
        yield Token("letter", word)


def _number(digits: str) -> Token:
    return Token("num", digits, numerals.decimal(digits))
