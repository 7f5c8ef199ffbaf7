"""Does the verifier tell right from wrong? Pairs whose truth is known, attacks that must not be accepted, gold answers.

The truth of `corpus.txt` is derived by hand: "answer ≡ gold" is equal, "answer ≢ gold" is not, `[category]` heads its
pairs. A corpus of your own has the same form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from reasonenv.core import Reason, Verdict
from reasonenv.errors import UserError
from reasonenv.tasks import Task, reference_solution
from reasonenv.verify.grade import grade_many
from reasonenv.verify.pool import TIMEOUT


@dataclass(frozen=True)
class Trial:
    """A response, a gold, and whether the response is right."""

    category: str
    text: str
    gold: str
    right: bool


@dataclass(frozen=True)
class Row:
    """What came of the trials of one category."""

    category: str
    right: int
    rejected: tuple[str, ...]  # right, and not accepted: the response and the reason
    wrong: int
    accepted: tuple[str, ...]  # wrong, and accepted
    failed: int  # timeouts and errors: no verdict at all, whatever the truth


def corpus(path: Path | None = None) -> list[Trial]:
    """The trials of a file of pairs, or of the corpus that is shipped.

    Raises `UserError` for a line that is no pair, and if there is none.
    """
    trials, category = list[Trial](), "pairs"
    source = files("reasonenv.verify").joinpath("corpus.txt") if path is None else path
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not UTF-8 at byte {error.start}; write it as UTF-8") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if heading := re.fullmatch(r"\[([a-z-]+)\]", line):
            category = heading[1]
        elif line and not line.startswith("#"):
            answer, *rest = re.split(r" ([≡≢]) ", line)
            if len(rest) != 2:
                raise UserError(f"{source}, line {number}: write 'answer ≡ gold' or 'answer ≢ gold', not {line[:80]!r}")
            trials.append(Trial(category, rf"So it is \boxed{{{answer}}}", rest[1], rest[0] == "≡"))
    if not trials:
        raise UserError(f"{source} holds no pairs; write 'answer ≡ gold' or 'answer ≢ gold', one a line")
    return trials


def attacks() -> list[Trial]:
    """Responses that a learner may find and that are never right, each against several golds."""
    return [Trial(name, text, gold, False) for name, texts in _ATTACKS.items() for text in texts for gold in _GOLDS]


_GOLDS = ("18", "0", r"\frac{1}{2}", r"2\sqrt{3}", "x^2+1", r"\{1,2\}", "(0,1)")
_EVERY = ", ".join(_GOLDS)
_ATTACKS = {
    "spraying": (
        rf"\boxed{{{_EVERY}}}",
        f"#### {_EVERY}",
        rf"\boxed{{{_EVERY.replace(', ', ' or ')}}}",
        rf"\boxed{{{_EVERY.replace(', ', ' = ')}}}",
        rf"\boxed{{{_EVERY.replace(', ', ' ')}}}",
        "#### " + " ".join(map(str, range(100))),
        "The answer is 17, 18 or 19.",
        rf"\boxed{{{','.join(map(str, range(40)))}}}",
    ),
    "empty": (
        "",
        "####",
        "#### \n",
        "The answer is",
        *(rf"\boxed{{{body}}}" for body in ("", " ", r"\boxed{}", r"\text{}")),
    ),
    "powers": (r"\boxed{9**9**9**9}", r"\boxed{9^{9^{9^9}}}", r"\boxed{10^{10^{10}}-10^{10^{10}}+5}", r"\boxed{5000!}"),
    "unicode": (r"\boxed{١٨١}", r"\boxed{１８１}", "#### ½½", r"\boxed{²√3}", "#### \u202e81", "#### 1\u200b8\u200b1"),
    "nul": ("#### 18\x00", "\\boxed{0\x00}", "\\boxed{\x00}", "#### \x0018"),
    "nesting": (
        r"\boxed{" + "{" * 400 + "7" + "}" * 400 + "}",
        r"\boxed{" * 300,
        r"\boxed{" + "(" * 400 + "7" + ")" * 400 + "}",
        r"\boxed{" + r"\sqrt{" * 90 + "7" + "}" * 90 + "}",
        r"\boxed{" + r"\frac{7}{" * 60 + "8" + "}" * 60 + "}",
    ),
    "long": ("#### " + "9" * 10**6, r"\boxed{" + "1+" * 10**5 + "1}", r"\boxed{0." + "3" * 10**5 + "}"),
    "undefined": (r"\boxed{1/0}", r"\boxed{0/0}", r"\boxed{0^0}", r"\boxed{\infty-\infty}", "#### nan", "#### inf"),
    "programs": (r"\boxed{__import__('os').getpid()}", r"\boxed{exec('1')}", "#### True", "#### None", r"\boxed{f''}"),
}


def check(trials: Sequence[Trial], timeout: float = TIMEOUT) -> list[Row]:
    """Grades every trial (`kind="math"`, marked answers only); one row for each category, in order."""
    verdicts = grade_many([t.text for t in trials], [t.gold for t in trials], extract="marked", timeout=timeout)
    return tally(zip(trials, verdicts, strict=True))


def check_golds(task: Task, limit: int | None = None) -> Row:
    """The task's own verifier on its own reference solutions: each must be right."""
    solutions = [(reference_solution(problem), problem) for problem in task.problems[:limit]]
    verified = [(Trial(task.name, text, p.answer, True), task.verify(text, p)) for text, p in solutions]
    return tally(verified)[0]


def tally(verified: Iterable[tuple[Trial, Verdict]]) -> list[Row]:
    """Counts by category."""
    groups: dict[str, list[tuple[Trial, Verdict]]] = {}
    for trial, verdict in verified:
        groups.setdefault(trial.category, []).append((trial, verdict))
    rows = []
    for category, pairs in groups.items():
        right = sum(trial.right for trial, _ in pairs)
        failed = sum(verdict.reason in (Reason.TIMEOUT, Reason.ERROR) for _, verdict in pairs)
        rejected = tuple(_described(*pair) for pair in pairs if pair[0].right and not pair[1].correct)
        accepted = tuple(_described(*pair) for pair in pairs if pair[1].correct and not pair[0].right)
        rows.append(Row(category, right, rejected, len(pairs) - right, accepted, failed))
    return rows


def _described(trial: Trial, verdict: Verdict) -> str:
    return f"{verdict.extracted or trial.text[-80:]!r} against {trial.gold[:80]!r}: {verdict.reason}"
