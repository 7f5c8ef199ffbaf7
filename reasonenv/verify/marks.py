r"""Marked answers: boxes, `####`, answer tags, JSON and phrases. Every scan walks the text once."""

from __future__ import annotations

import re
from typing import NamedTuple

from reasonenv.verify.numeric import SAID_AGAIN, parse_number
from reasonenv.verify.units import SCALE_WORDS, in_words, is_unit

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\b\s*+(?:\[[^\[\]\n]{0,20}\])?")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # \{ is a character, not a brace
_BARE_BOX = re.compile(r"[-+]?[0-9][0-9.,]*|[A-Za-z](?![A-Za-z])")
# What may stand between boxes that are one answer: "\boxed{2} and \boxed{3}", "x=\boxed{2}$ or $x=\boxed{3}".
_SPACE = r"(?:[\s$&~*]|\\(?:q?quad\b|[ ,;:!()\[\]\\]))*"
_JOINT = re.compile(
    rf"{_SPACE}(?:\\text\{{)?{_SPACE}(?:[,;]{_SPACE}(?:\\text\{{)?{_SPACE}(?:and|or)?|and|or|as\s+well\s+as)?{_SPACE}\}}?{_SPACE}"
    rf"(?:[a-zA-Z](?:_\{{?[0-9]\}}?)?\s*=)?{_SPACE}"
)
_TAG_ENDS = re.compile(r"</(answer|ans|final|result|final_answer|solution)>", re.IGNORECASE)
_JSON = re.compile(
    r'"(?:final[_ ]?)?(?:answer|result|solution|choice|option)"\s*+:\s*+'
    r'(?:"((?:[^"\\]|\\.)*+)"|\[([^\[\]{}"]{0,200})\]|([^\s,"{}\[\]]++))',
    re.IGNORECASE,
)
_SAYS = r"(?:is|are|was|equals|(?:will|would|should|must)\s++be)\b(?:\s++(?:therefore|thus|then|simply|just|indeed)\b)?"
_PHRASE = re.compile(
    r"(?:\b(?:the|my|our|your)\s++(?:(?:final|correct|right|best|exact)\s++){0,2})?"
    rf"(?:\banswers?(?:\s++(?:to|of|for)\b[^\n.:=?!]{{0,80}}?)?[*_]{{0,2}}\s++{_SAYS}|\banswer['’]s(?=\s)"
    r"|\bsolutions\s+are\b)\s*+:?[\s}]*+|(?:答案(?:是|为|选|：|:)|故选)[：:]?\s*+",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"\b(?:answers?|ans)[*_\"'}\s]{0,4}+(?:[:：=]|[-–—]\s)(?:[*_}\s]*\n\s*[-•]\s+|[*_}\s]*+)", re.IGNORECASE
)
_SENTENCE_END = re.compile(
    r"\n|<|(?<!\bRs)(?<!\bsq)(?<!\bSt)(?<!\bMt)(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bapprox)[.;](?=\s)|[.!?](?=[\s*_\"')]{0,8}$)",
    re.IGNORECASE,
)
# A remark behind the answer begins with one of these, and is dropped: "18, because ..", "18 (since ..)".
_REMARK_WORDS = (
    r"(?:because|since|as|so|which|where|when|while|given|i\.?e\.?|e\.?g\.?|that\s+is|that|(?:and\s+)?not(?=\s+\S)"
    r"|but|after|meaning|due\s+to|rounded|see|check(?:ed)?|from|by|using|used|instead|rather|obtained|with|for\s+(?:a|all|the|each|every|[0-9]))"
)
_CLAUSE = re.compile(
    rf",\s+or\s+(?:approximately|about|roughly)\b|(?:\s*[,;:]\s*|\s+-+\s+|\s+){_REMARK_WORDS}(?!\w)|(?<=[a-z])\s+out\s+of\b",
    re.IGNORECASE,
)
_PARENTHESIS = re.compile(
    r"(?:\\[,;: ])*\s*(?:\\text\s*\{\s*)?\((?P<inside>[^()]*(?:\([^()]*\)[^()]*)*)\)\s*\}?[\s$*_.]*$"
)
_INSIDE = re.compile(rf"\s*(?:=|(?:approx(?:imately)?|about|exactly|{_REMARK_WORDS})(?!\w))", re.IGNORECASE)
_COUNT = re.compile(r"\s*[0-9]{1,3}\s+(?P<unit>[A-Za-z ]+)")
_SAID = re.compile(r"[^\W_]|[\\∞∅]")
# What a box goes on with, or stands in, if it does not hold the whole answer.
_GOES_ON = re.compile(
    rf"[ \t]*(?:\\text\s*\{{\s*)?(?:{SCALE_WORDS})\b\}}?|[ \t]*\^\s*\S{{1,40}}|[A-Za-z](?![A-Za-z])|[.,][0-9]+"
    r"|[ \t]*\\(?:pi|sqrt|times|cdot|div|frac)(?![A-Za-z])[^\s$]{0,40}(?:\s*[0-9]+)?|[ \t]*[-+*/][ \t]*[0-9]+"
)
_OPENS = re.compile(r"(?:\\(?:[dtc]?frac\s*(?:\{[^{}]{1,20}\})?|sqrt)|\^)\s*\{\s*$")
_SIGNED = re.compile(r"(?:^|[\s=$(\[])-\Z")
_MAX_OPENING = 40  # characters
_DISPLAY = re.compile(r"[\s*]*(?:\\\[|\$\$)(?P<body>[^$]{1,400}?)(?:\\\]|\$\$)")
_MAX_REMARK = 400  # characters of an answer and its remark
_CALCULATES = re.compile(r"[0-9]\s*[-+*/×x÷]\s*[$(]?[0-9][^=]*=")
_MAX_BRIEF = 60  # characters of what a label announces


class Mark(NamedTuple):
    """A marked answer. A spoken one stands in a sentence, so words around its number are no part of it."""

    end: int  # a later mark begins behind it
    body: str
    spoken: bool = False


def last_mark(text: str) -> Mark | None:
    r"""The mark that stands last, its body without remarks behind it; None if nothing is marked.

    A mark is a box with balanced braces (`\boxed`, `\fbox`; boxes joined by "and", "or" or a comma are one list),
    `####` to the end of its line, `<answer>..</answer>`, `"answer": ..` of JSON, or a phrase: "the answer is .." to
    the end of its sentence, `Answer: ..` where a brief answer follows. An empty or unclosed mark is no mark.
    """
    # Each kind is only looked for behind the one found before, so the last find is the one that stands last.
    mark = None
    for last in (_last_hashes, _last_tag, _last_json, _last_box, _last_label, _last_phrase):
        mark = last(text, mark.end if mark else 0) or mark
    return mark


def without_remark(body: str) -> str:
    """An answer without the remark that follows it: a clause ("because ..") or a bracket ("(since ..)")."""
    if len(body) > _MAX_REMARK:
        return body
    clause = _CLAUSE.search(body, 1)
    if clause is not None and body[: clause.start()].strip(" *_$"):
        body = body[: clause.start()]
    return without_parenthesis(body.strip())


def without_parenthesis(body: str) -> str:
    parenthesis = _PARENTHESIS.search(body, max(0, len(body) - _MAX_REMARK))
    if parenthesis is None or parenthesis.start() == 0:
        return body
    inside = parenthesis["inside"]
    count = _COUNT.fullmatch(inside)
    counts = count is not None and is_unit(count["unit"], frozenset())
    before = body[: parenthesis.start()].strip()
    return before if counts or _INSIDE.match(inside) or _says_in_words(before, inside) else body


def _says_in_words(value: str, said: str) -> bool:
    """Whether a bracket says the number before it once more, one of them in words: "5 (five)", "five (5)"."""
    if in_words(value) is None and in_words(said) is None:
        return False
    return parse_number(value) == parse_number(said) is not None


def _last_hashes(text: str, begin: int) -> Mark | None:
    """Where the last non-empty body behind exactly four hashes starts, and the body: the rest of its line."""
    limit, at = len(text), text.rfind("####", begin)
    while at >= 0:
        if text[at - 1 : at] != "#" != text[at + 4 : at + 5]:  # five or more are a heading or a rule
            end = text.find("\n", at + 4, limit)
            body = text[at + 4 : limit if end < 0 else end].strip()
            if body:
                return Mark(at + 4, without_remark(body))
            limit = at
        at = text.rfind("####", begin, at)
    return None


def _last_tag(text: str, begin: int) -> Mark | None:
    """The content of the last pair of tags that is not empty."""
    limit = len(text)
    for closing in reversed(list(_TAG_ENDS.finditer(text, begin))):
        opening = f"<{closing[1]}>"
        start = text.rfind(opening, begin, min(closing.start(), limit))
        body = text[start + len(opening) : closing.start()].strip() if start >= 0 else ""
        if body:
            return Mark(start + len(opening), without_remark(body))
        limit = max(start, begin)
    return None


def _last_json(text: str, begin: int) -> Mark | None:
    if '":' not in text and '" :' not in text:
        return None
    for match in reversed(list(_JSON.finditer(text, begin))):
        body = match[2] or match[3] or ""
        if match[1] is not None:
            body = match[1].replace(r"\\", "\\").replace(r"\"", '"')
        box = _last_box(body, 0)
        if body.strip():
            return Mark(match.end(), box.body if box else body.strip())
    return None


def _last_label(text: str, begin: int) -> Mark | None:
    """`Answer: ..` where a brief answer follows and no reasoning: a few words, no sum in front of an equals sign."""
    if not _may_announce(text, begin):
        return None
    for match in reversed(list(_LABEL.finditer(text, begin))):
        body = _sentence(text, match.end(), len(text))
        if body and len(body) <= _MAX_BRIEF and not _CALCULATES.search(body):
            return Mark(match.end(), body, spoken=True)
    return None


def _last_phrase(text: str, begin: int) -> Mark | None:
    """Where the last non-empty body behind the phrase starts, and the body: up to the sentence's end or the next."""
    if not _may_announce(text, begin):
        return None
    limit = len(text)
    for match in reversed(list(_PHRASE.finditer(text, begin))):
        body = _sentence(text, match.end(), limit)
        if body:
            return Mark(match.end(), body, spoken=True)
        limit = match.start()
    return None


def _may_announce(text: str, begin: int) -> bool:
    # A fixed string is looked up many times as fast as a pattern.
    return any(
        text.find(word, begin) >= 0
        for word in ("nswer", "NSWER", "答案", "故选", "olutions are", "ns:", "NS:", "ns.", "ns =", "ns=")
    )


def _sentence(text: str, start: int, limit: int) -> str:
    """The text up to the end of its sentence, without a remark; empty if it says nothing."""
    display = _DISPLAY.match(text, start, limit)
    if display is not None:
        return display["body"].strip()
    stop = _SENTENCE_END.search(text, start, limit)
    body = text[start : stop.start() if stop else limit].strip()
    if body.count("*") == 1:  # the other one stands in front of the sentence
        body = body.strip("*")
    return without_remark(body) if _SAID.search(body) else ""


def _last_box(text: str, begin: int) -> Mark | None:
    """Where the last closed, non-empty box ends, and its content, behind that of the boxes that are joined to it."""
    if text.find("box", begin) < 0:
        return None
    boxes = list(_BOX.finditer(text, begin))
    limit, index = len(text), len(boxes)
    while index:
        index -= 1
        box = _content(text, boxes[index].end(), limit)
        if box is not None:
            end, body = box
            around = _inside_formula(text, boxes[index].start(), end, body)
            return Mark(end, around or _joined(text, boxes[: index + 1], body))
        limit = boxes[index].start()
    return None


def _inside_formula(text: str, start: int, end: int, body: str) -> str | None:
    """What a box is a part of, if it stands inside a formula: "\\boxed{41} million", "\\frac{\\boxed{41}}{2}"."""
    behind = _GOES_ON.match(text, end)
    if behind is not None:
        return body + behind[0]
    if text[start - 1 : start].isdigit():  # 1\boxed{7} has several readings, and the box is none of them
        return text[start - 1 : end]
    if _SIGNED.search(text, max(0, start - 2), start):
        return f"-{body}"
    before = _OPENS.search(text, max(0, start - _MAX_OPENING), start)
    return None if before is None else f"{before[0]}{body}}}"


def _joined(text: str, boxes: list[re.Match[str]], body: str) -> str:
    """The bodies of the boxes before the last one that only "and", "or" or a comma parts from it, and its own."""
    bodies, following = [body], boxes[-1]
    for box in reversed(boxes[:-1]):
        content = _content(text, box.end(), following.start())
        if content is None or not _JOINT.fullmatch(text, content[0], following.start()):
            break
        if "\n" in text[content[0] : following.start()]:  # on a line of its own it is another answer
            break
        bodies.append(content[1])
        following = box
    return ", ".join(dict.fromkeys(reversed(bodies)))  # a box said twice is one


def _content(text: str, start: int, limit: int) -> tuple[int, str] | None:
    """The end and the content of a box that begins at `start`; None if it is empty or not closed by `limit`."""
    if text[start : start + 1] != "{":
        bare = _BARE_BOX.match(text, start, limit)
        return None if bare is None else (bare.end(), bare[0])
    # Only up to the next box, which is empty or never closed: so is then what holds it, and nothing is read twice.
    depth = 0
    for brace in _BRACE.finditer(text, start, limit):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0 and brace[0] == "}":
            body = text[start + 1 : brace.start()].strip()
            if SAID_AGAIN.search(body):  # "5 (= 2 + 3)": whether it is true is looked at where values are compared
                return brace.end(), body
            return (brace.end(), without_parenthesis(body)) if body else None
    return None
