"""Does the verifier tell right from wrong? Pairs whose truth is known, attacks that must not be accepted, gold answers.

The truth of `corpus.txt` is derived by hand; its first lines say how a file of pairs is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.errors import UserError, check_known
from reasonenv.tasks import Task, reference_solution
from reasonenv.verify.grade import KINDS, grade_many
from reasonenv.verify.pool import TIMEOUT, shared


@dataclass(frozen=True)
class Trial:
    """A response, a gold, and whether the response is right."""

    category: str
    text: str
    gold: str
    right: bool
    kind: str = "math"  # of `grade`
    answer: str | None = None  # what stands in the box of `text`; None where the pair is a whole response


@dataclass(frozen=True)
class Row:
    """What came of the trials of one category."""

    category: str
    right: int
    rejected: tuple[str, ...]  # right, and not accepted: the response and the reason
    wrong: int
    accepted: tuple[str, ...]  # wrong, and accepted
    failed: int  # timeouts and errors: no verdict at all, whatever the truth


@dataclass(frozen=True)
class _Heading:
    """`[category]`, `[category kind=numeric]` or `[category kind=numeric raw]`: what the pairs below it are."""

    category: str = "pairs"
    kind: str = "math"
    raw: bool = False  # whole responses; otherwise the answers are put into a box

    def trial(self, answer: str, right: bool, gold: str) -> Trial:
        if self.raw:
            return Trial(self.category, answer, gold, right, self.kind)
        return Trial(self.category, rf"So it is \boxed{{{answer}}}", gold, right, self.kind, answer)


_HEADING = re.compile(r"\[([a-z0-9-]+)(?: kind=([a-z]+))?( raw)?\]")
_RELATION = re.compile(r" ([≡≢]) ")
_CHARACTER = re.compile(r"⟨U\+([0-9A-F]{4,5})⟩")


def corpus(path: Path | None = None) -> list[Trial]:
    """The trials of a file of pairs, or of the corpus that is shipped.

    Raises `UserError` for a line that is no pair, a heading of an unknown kind, and if there is no pair.
    """
    trials, heading = list[Trial](), _Heading()
    source = files("reasonenv.verify").joinpath("corpus.txt") if path is None else path
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not UTF-8 at byte {error.start}; write it as UTF-8") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line == "#" or line.startswith("# "):
            continue
        if written := _HEADING.fullmatch(line):
            category, kind, raw = written.groups()
            heading = _Heading(category, kind or "math", raw is not None)
            check_known(f"kind in {source}, line {number}:", heading.kind, KINDS)
            continue
        answer, *rest = _RELATION.split(line)
        if len(rest) != 2:
            raise UserError(f"{source}, line {number}: write 'answer ≡ gold' or 'answer ≢ gold', not {line[:80]!r}")
        relation, gold = rest
        trials.append(heading.trial(_unescaped(answer), relation == "≡", _unescaped(gold)))
    if not trials:
        raise UserError(f"{source} holds no pairs; write 'answer ≡ gold' or 'answer ≢ gold', one a line")
    return trials


def _unescaped(text: str) -> str:
    return _CHARACTER.sub(lambda match: chr(int(match[1], 16)), text.replace("⏎", "\n"))


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
        " and ".join(rf"\boxed{{{gold}}}" for gold in _GOLDS),
        f"<answer>{_EVERY}</answer>",
        f"The answer is {_EVERY}.",
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
    """Grades each trial as `grade` does by default; one row for each category, in order."""
    verified = dict[int, Verdict]()
    for kind in KINDS:
        indices = [index for index, trial in enumerate(trials) if trial.kind == kind]
        texts, golds = [trials[i].text for i in indices], [trials[i].gold for i in indices]
        verified.update(zip(indices, grade_many(texts, golds, kind, timeout=timeout), strict=True))
    return tally((trial, verified[index]) for index, trial in enumerate(trials))


def check_golds(task: Task, name: str, limit: int | None = None) -> Row:
    """The task's own verifier on its own reference solutions, each of which must be right, as the row `name`."""
    problems = [problem for problem in task.problems[:limit] if problem.answer]

    def verified(problem: Problem) -> tuple[Trial, Verdict]:
        text = reference_solution(problem)
        return Trial(name, text, problem.answer, True), task.judge(text, problem)

    with ThreadPoolExecutor(shared().workers) as executor:
        rows = tally(executor.map(verified, problems))
    return rows[0] if rows else Row(name, 0, (), 0, (), 0)


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
