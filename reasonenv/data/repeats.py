"""Questions that are asked more than once: in one split, in both, with other answers, or but for white space and case.

A repeated question makes a held-out set look larger than it is, and one that was trained on is no held-out question.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from reasonenv.core import Problem, Verdict
from reasonenv.tasks import reference_solution

_SHOWN = 80  # characters of a question in a message


def repeated(split: str, problems: Sequence[Problem]) -> str | None:
    """How many problems of a split repeat an earlier question, with the most frequent one; None if none does."""
    counts = Counter(problem.question for problem in problems)
    surplus = len(problems) - len(counts)
    if not surplus:
        return None
    question, times = counts.most_common(1)[0]
    example = f"{shown(question)} is asked {times} times"
    return f"{surplus} of {len(problems)} problems of {split} repeat an earlier question: {example}"


def contradicted(problems: Iterable[Problem], judge: Callable[[str, Problem], Verdict]) -> str | None:
    """How many questions have answers of which one is no right answer beside the other, with the first of them."""
    earlier = dict[str, Problem]()
    several = dict[str, tuple[Problem, Problem]]()
    for problem in problems:
        first = earlier.setdefault(problem.question, problem)
        if first.answer != problem.answer and not judge(reference_solution(problem), first).correct:
            several.setdefault(problem.question, (first, problem))
    if not several:
        return None
    first, second = next(iter(several.values()))
    example = f"{shown(first.question)} has {first.answer[:_SHOWN]!r} and {second.answer[:_SHOWN]!r}"
    return f"{len(several)} questions have several answers: {example}"


def alike(splits: dict[str, Sequence[Problem]]) -> str | None:
    """How many questions are others but for white space and case, with the first two; None if none is."""
    where: dict[str, str] = {}  # question -> split
    for split, problems in splits.items():
        for problem in problems:
            where.setdefault(problem.question, split)
    groups: dict[str, list[str]] = defaultdict(list)
    for question in where:
        groups[" ".join(question.casefold().split())].append(question)
    close = [questions for questions in groups.values() if len(questions) > 1]
    if not close:
        return None
    across = sum(len(set(map(where.get, questions))) > 1 for questions in close)
    first, second, *_ = close[0]
    example = f"{shown(first)} of {where[first]} and {shown(second)} of {where[second]}"
    return f"{len(close)} questions come again with other white space or case, {across} in both splits: {example}"


def shown(question: str) -> str:
    """A question in a message."""
    return repr(question[:_SHOWN])
