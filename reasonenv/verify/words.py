"""Answers in words: the same if their normalised texts are equal, in any case, dress, white space and punctuation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from reasonenv.verify.marks import last_mark, without_remark
from reasonenv.verify.notation import plain
from reasonenv.verify.response import final_part

MAX_LINE = 200  # characters of an unmarked line that can be an answer in words

_WRAPPER = re.compile(r"\\text\s*(?=\{)|[{}]")
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_ENDS = ' \t\r\n.,;:!?"`*_$'
_WORDS = re.compile(r"[^\W\d_][\w'&-]*(?:[ ,./-]+[\w'&-]+)*")
# Dates, telephone numbers, scores, numbers of versions.
_CODE = re.compile(
    r"[0-9]+(?:-[0-9]+)+|[0-9]+(?:/[0-9]+){2,}|[0-9]+(?:\.[0-9]+){2,}|\+?[0-9]{1,3}(?:[ -][0-9]{2,4}){2,}"
)
# Names that are mathematics although they look like words.
_MATHEMATICS = frozenset("sqrt sin cos tan cot sec csc log ln exp pi inf infinity infty oo".split())  # noqa: SIM905
# What spreadsheets and number parsers write where there is no answer.
NO_GOLDS = frozenset(("", "nan", "n/a", "na", "#n/a", "<na>", "nat", "null"))


def normalize(text: str) -> str:
    """The text in one case, without LaTeX around its words, Markdown, quotes, and punctuation at its ends."""
    return _words(text).casefold()


def same_text(a: str, b: str) -> bool:
    """Whether two answers are written alike, but for their looks: then they are equal, whatever they are."""
    return _unwrapped(a) == _unwrapped(b) != ""


def _unwrapped(text: str) -> str:
    return " ".join(_TEXT.sub(r"\1", plain(text)).split())


def _words(text: str) -> str:
    words = " ".join(_WRAPPER.sub("", plain(text)).split()).strip(_ENDS)
    if words[:1] == "'" == words[-1:]:  # a quote and no prime: B' is not B
        words = words.strip(_ENDS + "'")
    return words


def is_words(text: str) -> bool:
    """Whether an answer is words and no mathematics: some word of three letters or more that names no function."""
    words = _words(text)
    if "\\" in words or not _WORDS.fullmatch(words):
        return False
    parts = re.findall(r"[^\W\d_]+", words)
    return any(map(_is_word, parts)) and _MATHEMATICS.isdisjoint(parts)


def _is_word(part: str) -> bool:
    """Whether letters are a word and no product of variables; of scripts without case one character is enough."""
    return len(part) > 2 or part.lower() in ("no", "yes") or unicodedata.category(part[0]) == "Lo"


def is_code(text: str) -> bool:
    """Whether digits are joined to a date, a telephone number or a score, and to no difference or fraction."""
    return _CODE.fullmatch(plain(text)) is not None


def find_words(text: str) -> str | None:
    """The answer in words: the last mark, else the last line of a response if it is short; without a remark."""
    text = final_part(text)
    mark = last_mark(text)
    if mark is not None:
        return mark.body
    lines = text.rstrip().rsplit("\n", 1)
    line = lines[-1].strip()
    return without_remark(line) if 0 < len(line) <= MAX_LINE else None


def same_words(answer: str, gold: str, aliases: Sequence[str] = ()) -> bool:
    """Whether the normalised answer is that of the gold or of one of its aliases."""
    return normalize(answer) in {normalize(each) for each in (gold, *aliases)}
