"""Multiple choice: the letter that a text settles on, written as a letter or as the text of the choice."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reasonenv.core import Reason
from reasonenv.verify.marks import last_mark, without_remark
from reasonenv.verify.notation import characters, plain
from reasonenv.verify.prose import without_note
from reasonenv.verify.response import final_part

_MAX_LENGTH = 2_000  # characters of an answer or a choice
_MAX_SENTENCE = 300

_DRESS = re.compile(r"\\(?:text|boxed|quad|qquad|:|,|;|!|\s)(?![A-Za-z])|[\s*_`\"'$\\{}~#]+")
_NAME = r"(?:(?:the\s+)?(?:correct\s+|final\s+|best\s+|right\s+)?(?:answer|option|choice)(?:\s+is)?\s*+[:\-]?\s*+)*+"
_LETTER = re.compile(
    rf"{_NAME}"
    r"(?:\(\s*(?P<round>[A-Za-z])\s*\)|\[\s*(?P<square>[A-Za-z])\s*\]|(?P<bare>[A-Za-z]))"
    r"(?:\s*[).:!](?P<text>.*)|(?:\s+-|,)\s+(?P<dashed>.*)|\s*\.\.\.\s*|(?P<rest>\s+.*)?)",
    re.DOTALL | re.IGNORECASE,
)
_SECOND = re.compile(
    r"(?:\b(?:or|and|nor|maybe)|[,/&;])\s*\(?[A-Za-z]\)?(?![A-Za-z'])|^\s*\(?[A-Z]\)?[\s.]*$", re.IGNORECASE
)
# What takes a choice back, or speaks of it instead of choosing it.
_VERB = re.compile(r"\b(?:is|are|was|isn't|cannot|can't|not|wrong|incorrect|false|fails?|seems?|would|could)\b")
# Sentences that choose: "B is correct", "I would pick B", ".., so B".
_ONE = r"(?:(?i:option|choice|answer)\s+)?\(?(?P<letter>[A-Z])\)?"
_SO = r"(?i:so|therefore|thus|hence)"
_LEADS = rf"(?:{_SO}|(?i:only|of\s+these|i\s+(?:think|believe)(?:\s+that)?))"
_RIGHT = r"(?:the\s+)?(?:correct|right|best|true)(?:\s+(?:answer|option|choice|one))?|the\s+answer"
_CHOOSES = r"(?:choose|chose|pick|picked|select|selected|go\s+with|go\s+for|say|answer)"
_SENTENCES = (
    re.compile(rf"(?:{_LEADS}[,\s]+)?{_ONE}\s+(?i:(?:is|must\s+be|would\s+be|seems)\s+(?:{_RIGHT}))"),
    re.compile(rf"(?:{_SO}[,\s]+)?(?i:i|we)(?:'d|'ll|\s+would|\s+will)?\s+{_CHOOSES}\s+{_ONE}(?:\s*[.:)]\s.*)?"),
    re.compile(rf"(?:{_SO}[,\s]+)?(?i:it(?:'s|\s+is|\s+must\s+be|\s+has\s+to\s+be))\s+{_ONE}"),
    re.compile(rf"{_SO}[,:]?\s+{_ONE}"),
    re.compile(rf".*[,;.]\s*(?:and\s+)?{_SO}\s*,?\s+(?:it\s+is\s+|it's\s+|the\s+answer\s+is\s+)?{_ONE}"),
)
_DENIED = re.compile(r"\b(?:not|never|cannot|exclude[sd]?|eliminate[sd]?|neither|nor)\b|n't\b", re.IGNORECASE)
_DOUBT = re.compile(r"\b(?:or|maybe|perhaps|possibly)\s+\(?[A-Z]\)?(?![\w'])")
_ICONS = re.compile(r"^[^\w\s(\[]+\s*|\s*[\u2190-\u2bff\U0001f300-\U0001faff\ufe0f]+$")
_STARS = re.compile(r"[*_`]")
_NAMED = re.compile(r"\b(?:answer|option|choice)\b(?:\s+is\b)?[\s:*]*+(?=\S)", re.IGNORECASE)


def find_choice(text: str) -> str | None:
    r"""The choice as written: the last mark (`marks.last_mark`), else the first or the last line if it chooses one.

    A line chooses if it is a letter (`B`, `(b) forty-two`), names one behind "answer", "option" or "choice", or says so
    ("B is correct", "I would pick B"). None if the text has nothing on it.
    """
    text = final_part(text)
    mark = last_mark(text)
    if mark is not None:
        return mark.body
    lines = [line.strip() for line in text.strip()[-_MAX_LENGTH:].splitlines() if line.strip()]
    if not lines:
        return None
    sentence = _chosen(lines[-1])
    if sentence is not None:
        return sentence
    explained = len(lines) > 1 and len(text) <= _MAX_LENGTH
    if explained and read_choice(lines[0]) is not None:
        return lines[0]  # "B", and an explanation below
    names = list(_NAMED.finditer(lines[-1]))
    if not names or _DENIED.search(lines[-1][: names[-1].start()]):
        return lines[-1]
    return lines[-1][names[-1].end() :].strip()


def read_choice(answer: str, choices: Sequence[str] = ()) -> str | None:
    """The capital letter that `answer` names, or None: `B`, `(b)`, `B.`, `B) forty-two`, or the text of `choices[1]`.

    A letter beside a text must be the letter of that text where the choices are known. Several letters are none, and so
    is a letter beyond the last choice, or one that a verb follows ("B is wrong"). A bare small letter before words
    ("a dog") is an article, not a choice.
    """
    if len(answer) > _MAX_LENGTH:
        return None
    texts = [_plain(choice) for choice in choices]
    if texts.count(_plain(answer)) == 1:
        return chr(ord("A") + texts.index(_plain(answer)))
    match = _LETTER.fullmatch(_undressed(answer))
    if match is None or _DOUBT.search(answer):
        return None
    behind = match["text"] or match["dashed"] or match["rest"] or ""
    if _SECOND.search(behind):
        return None
    rest = _plain(behind)
    dashed = match["dashed"] and match["bare"] and match["bare"].isupper()
    if match["bare"] and rest and not match["text"] and not dashed:
        # "A dog": words, unless they are the text of that choice
        index = ord(match["bare"].upper()) - ord("A")
        return match["bare"].upper() if texts[index : index + 1] == [rest] else None
    letter = (match["round"] or match["square"] or match["bare"]).upper()
    index = ord(letter) - ord("A")
    if texts and (index >= len(texts) or (rest in texts and texts[index] != rest)):
        return None
    if _VERB.match(rest) and rest not in texts:  # "(A) is incorrect"
        return None
    return letter


def compare_choice(answer: str | None, gold: str, choices: Sequence[str] = ()) -> Reason:
    """The verdict on a choice as found. The gold is a letter, a letter and its text (`(B) forty-two`), or a text.

    Without `choices`, the text in the gold is the only one that is known: it counts as that letter.
    """
    letter, text = read_choice(gold, choices), ""
    match = _LETTER.fullmatch(_undressed(gold))
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


def _chosen(line: str) -> str | None:
    """The letter that a sentence chooses."""
    line = _STARS.sub("", characters(line[-_MAX_SENTENCE:])).strip(" \"'").rstrip(".!")
    line = re.split(r"[.!;]\s+", line)[-1]
    for spoken in (line, without_remark(line)):
        for sentence in _SENTENCES:
            match = sentence.fullmatch(spoken.rstrip(" .!*_`\"'"))
            if match is not None:
                return match["letter"]
    return None


def _undressed(text: str) -> str:
    """Without LaTeX, Markdown and marks of every kind in front of it, and without a remark."""
    return _ICONS.sub("", _DRESS.sub(" ", without_note(without_remark(plain(text)))).strip())


def _plain(text: str) -> str:
    """Without dress, case and the full stop."""
    return " ".join(_DRESS.sub(" ", plain(text)).lower().strip(" .").split())
