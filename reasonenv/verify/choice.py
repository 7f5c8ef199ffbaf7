"""Multiple choice: the letter that a text settles on, written as a letter or as the text of the choice."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reasonenv.core import Reason
from reasonenv.verify.extract import find_answer

_DRESS = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed)(?![A-Za-z])|[\s*_`\"'$\\{}]+")
_LETTER = re.compile(
    r"(?:(?:the\s+)?(?:correct\s+|final\s+|best\s+)?(?:answer|option|choice)(?:\s+is)?\s*+:?\s*+)*+"
    r"(?:\(\s*(?P<round>[A-Za-z])\s*\)|\[\s*(?P<square>[A-Za-z])\s*\]|(?P<bare>[A-Za-z]))"
    r"(?:\s*[).:](?P<text>.*)|(?P<rest>\s+.*)?)",
    re.DOTALL | re.IGNORECASE,
)
_SECOND = re.compile(r"(?:\b(?:or|and|nor)|[,/&;])\s*\(?[A-Za-z]\)?(?![A-Za-z])", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:answer|option|choice)\b(?:\s+is\b)?[\s:*]*", re.IGNORECASE)
_MAX_LENGTH = 2_000  # characters of an answer or a choice


def find_choice(text: str) -> str | None:
    r"""The choice as written: the last mark (`\boxed`, `####`, "the answer is"), else the last line.

    Of an unmarked last line only what follows "answer", "option" or "choice" counts, if one of these is there.
    None if the text has nothing on it.
    """
    marked = find_answer(text, "marked")
    if marked is not None:
        return marked
    lines = text.rstrip()[-_MAX_LENGTH:].splitlines()
    if not lines or not lines[-1].strip():
        return None
    names = list(_NAMED.finditer(lines[-1]))
    start = names[-1].end() if names else 0
    return lines[-1][start:].strip() or None


def read_choice(answer: str, choices: Sequence[str] = ()) -> str | None:
    """The capital letter that `answer` names, or None: `B`, `(b)`, `B.`, `B) forty-two`, or the text of `choices[1]`.

    A letter beside a text must be the letter of that text where the choices are known. Several letters are none, and so
    is a letter beyond the last choice. A bare small letter before words ("a dog") is an article, not a choice.
    """
    if len(answer) > _MAX_LENGTH:
        return None
    texts = [_plain(choice) for choice in choices]
    if texts.count(_plain(answer)) == 1:
        return chr(ord("A") + texts.index(_plain(answer)))
    match = _LETTER.fullmatch(_DRESS.sub(" ", answer).strip())
    if match is None or _SECOND.search(match["text"] or match["rest"] or ""):
        return None
    rest = _plain(match["text"] or match["rest"] or "")
    if match["bare"] and match["rest"] and rest:  # "A dog": words, unless they are the text of that choice
        index = ord(match["bare"].upper()) - ord("A")
        return match["bare"].upper() if texts[index : index + 1] == [rest] else None
    letter = (match["round"] or match["square"] or match["bare"]).upper()
    index = ord(letter) - ord("A")
    if texts and (index >= len(texts) or (rest in texts and texts[index] != rest)):
        return None
    return letter


def compare_choice(answer: str | None, gold: str, choices: Sequence[str] = ()) -> Reason:
    """The verdict on a choice as found. The gold is a letter, a letter and its text (`(B) forty-two`), or a text.

    Without `choices`, the text in the gold is the only one that is known: it counts as that letter.
    """
    letter, text = read_choice(gold, choices), ""
    match = _LETTER.fullmatch(_DRESS.sub(" ", gold).strip())
    if match is not None and letter is not None:
        text = _plain(match["text"] or match["rest"] or "")
    if letter is None:
        return Reason.UNPARSABLE_GOLD
    if answer is None:
        return Reason.NO_ANSWER
    if text and len(answer) <= _MAX_LENGTH and _plain(answer) == text:
        return Reason.CORRECT
    chosen = read_choice(answer, choices)
    if chosen is None:
        return Reason.UNPARSABLE_ANSWER
    return Reason.of(chosen == letter)


def _plain(text: str) -> str:
    """Without dress, case and the full stop."""
    return " ".join(_DRESS.sub(" ", text).lower().strip(" .").split())
