"""What of a response counts as its answer: no thoughts, no next turn, no question that it goes on to ask."""

from __future__ import annotations

import re

from reasonenv.verify.marks import last_mark

_THOUGHT = r"(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad|seed:think)"
_THOUGHT_BEGINS = re.compile(rf"<{_THOUGHT}>|<\|begin_of_thought\|>|◁think▷|\[THINK\]", re.IGNORECASE)
_THOUGHT_ENDS = re.compile(
    rf"</{_THOUGHT}>|<\|(?:end_of_thought|begin_of_solution)\|>|◁/think▷|\[/THINK\]|<\|channel\|>final<\|message\|>",
    re.IGNORECASE,
)
_TURN_ENDS = re.compile(
    r"<\|(?:im_end|endoftext|eot_id|eom_id|end|end_of_text|end_of_solution|return|eos)\|>|<(?:end_of_turn|/s|eos)>|<｜end▁of▁sentence｜>"
)
_HTML = re.compile(r"</?(?:b|strong|em|i|u|p|span|div|mark)(?:\s[^<>]{0,80})?>", re.IGNORECASE)  # only looks
# A base model that has been shown examples goes on with a question of its own.
NEXT_QUESTION = re.compile(
    r"\n[ \t#*]{0,12}(?:(?i:Question|Problem|Exercise|Example|Q|Human|User|Input)(?:[ #]*[0-9]+)?[*_ ]*:"
    r"|(?:Question|Problem) [0-9]+\.)"
)
_MAX_QUESTIONS = 4  # that are looked at; each costs a look for a mark


def final_part(text: str) -> str:
    """The part of a response that states its answer; empty while the thoughts are not closed.

    Behind the last end of thoughts, up to the end of the turn, and where an answer is marked, up to the next question
    that follows it. Linear in the length of the text.
    """
    if "<" in text or "[" in text or "◁" in text:
        text = _HTML.sub("", behind_thoughts(text))
        end = _TURN_ENDS.search(text, len(text) - len(text.lstrip()))
        if end is not None and text[: end.start()].strip():
            text = text[: end.start()]
    begins = [match.start() for _, match in zip(range(_MAX_QUESTIONS), NEXT_QUESTION.finditer(text), strict=False)]
    for begin in begins:
        if last_mark(text[:begin]) is not None:
            return text[:begin]
    return text


def behind_thoughts(text: str) -> str:
    """What stands behind the last end of thoughts and before thoughts that are not closed."""
    ends = [match.end() for match in _THOUGHT_ENDS.finditer(text)]
    if ends:
        text = text[ends[-1] :]
    begin = _THOUGHT_BEGINS.search(text)
    return text if begin is None else text[: begin.start()]
