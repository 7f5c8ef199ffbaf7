"""A browser of answers, token by token where a run kept them. Everything a policy wrote is escaped text.

The numbers of the tokens are whole numbers in attributes, in hundredths; the script colours the text by them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reasonenv.measures.questions import Asked
from reasonenv.measures.rollouts import PROBLEMS as KEPT
from reasonenv.measures.rollouts import SAMPLES, TRAINING_GROUPS, TRAINING_SAMPLES, Rollout
from reasonenv.measures.samples import Sample
from reasonenv.report.curves import styles
from reasonenv.report.findings import Finding, Setting
from reasonenv.report.sections import Section

PROBLEMS = 12
LONGEST = 2_000  # characters of an answer that are shown
KINDS = {"greedy": "greedy", "sampled": "sampled", "training": "while training"}
QUANTITIES = {"reward": "reward", "advantage": "advantage", "logp": "log-probability", "entropy": "entropy"}
CAPTION = (
    "Of the first seed; problems on which the agents differ come first. Of {kept} held-out problems a run keeps the "
    "tokens of the greedy answer and of {samples} sampled ones, and those of {groups} groups of {size} of the last "
    "iteration, if it has advantages. Shown are {problems} held-out problems and {longest:,} characters an answer."
)
PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}


@dataclass(frozen=True)
class Answer:
    """One answer of one agent, as the page shows it."""

    agent: str
    colour: str
    kind: str  # a key of `KINDS`
    title: str
    correct: bool
    reason: str
    extracted: str | None
    truncated: bool
    length: int  # in tokens
    text: str  # its beginning
    hidden: int  # characters that are not shown
    numbers: Mapping[str, str] = field(default_factory=dict)  # of its tokens, by the name of an attribute


@dataclass(frozen=True)
class Question:
    """A problem with the answers to it."""

    problem: str
    question: str
    gold: str
    answers: Sequence[Answer]


def answers(setting: Setting) -> Section | None:
    """Answers of the first seed of every agent, to some problems."""
    if not setting.findings:
        return None
    questions = _questions(setting)
    kinds = {answer.kind for question in questions for answer in question.answers}
    numbers = {key for question in questions for answer in question.answers for key in answer.numbers}
    caption = CAPTION.format(
        kept=KEPT,
        samples=SAMPLES,
        groups=TRAINING_GROUPS,
        size=TRAINING_SAMPLES,
        problems=PROBLEMS,
        longest=LONGEST,
    )
    data = {
        "caption": caption,
        "questions": questions,
        "agents": [finding.agent for finding in setting.findings],
        "kinds": {kind: text for kind, text in KINDS.items() if kind in kinds},
        "quantities": {key: text for key, text in QUANTITIES.items() if key in numbers},
    }
    return Section("Answers", "answers", data, "answers.html.j2")


def _questions(setting: Setting) -> list[Question]:
    asked, by_problem = dict(setting.asked), dict[str, list[Answer]]()
    colours = {agent: style.colour for agent, style in styles(setting).items()}
    for problem in chosen_problems(setting):
        by_problem[problem] = []
        for finding in setting.findings:
            by_problem[problem] += _held_out(finding, problem, colours[finding.agent])
    for finding in setting.findings:
        for record in finding.cells[0].token_records:
            asked[record.problem_id] = Asked(record.question, record.gold)
            if record.source == "training":
                answer = _of_tokens(record, finding.agent, colours[finding.agent])
                by_problem.setdefault(record.problem_id, []).append(answer)
    nothing = Asked("", "")
    return [Question(problem, *asked.get(problem, nothing), each) for problem, each in by_problem.items()]


def chosen_problems(setting: Setting) -> list[str]:
    """Up to `PROBLEMS` ids, those kept token by token first, of these those on whose greedy answers agents differ."""
    verdicts: dict[str, set[bool]] = defaultdict(set)
    kept = set()
    for finding in setting.findings:
        for sample in finding.cells[0].samples:
            if sample.greedy:
                verdicts[sample.problem_id].add(sample.correct)
        for record in finding.cells[0].token_records:
            if record.source != "training":
                kept.add(record.problem_id)
    ordered = sorted(verdicts, key=lambda problem: (problem not in kept, problem))
    differing = [problem for problem in ordered if len(verdicts[problem]) == 2]
    alike = [problem for problem in ordered if len(verdicts[problem]) != 2]
    first = (differing[: PROBLEMS * 3 // 4] + alike)[:PROBLEMS]
    return first + differing[PROBLEMS * 3 // 4 :][: PROBLEMS - len(first)]


def _held_out(finding: Finding, problem: str, colour: str) -> list[Answer]:
    """The answers kept token by token, else the greedy one and the first sample."""
    cell = finding.cells[0]
    kept = [each for each in cell.token_records if each.problem_id == problem and each.source != "training"]
    if kept:
        return [_of_tokens(record, finding.agent, colour) for record in kept]
    samples = [sample for sample in cell.samples if sample.problem_id == problem]
    greedy = [sample for sample in samples if sample.greedy]
    drawn = sorted((sample for sample in samples if not sample.greedy), key=lambda sample: sample.index)
    return [_of_text(sample, finding.agent, colour) for sample in (*greedy[:1], *drawn[:1])]


def _of_text(sample: Sample, agent: str, colour: str) -> Answer:
    kind = "greedy" if sample.greedy else "sampled"
    shown = sample.text[:LONGEST]
    return _answer(sample, agent, colour, kind, shown, length=sample.length, hidden=len(sample.text) - len(shown))


def _of_tokens(record: Rollout, agent: str, colour: str) -> Answer:
    tokens = _first(record.tokens)
    hidden = sum(map(len, record.tokens)) - sum(map(len, tokens))
    quantities = {
        "reward": record.rewards,
        "advantage": record.advantages,
        "logp": record.logps,
        "entropy": record.entropies,
    }
    numbers = {key: _hundredths(values[: len(tokens)]) for key, values in quantities.items() if values}
    numbers["tokens"] = " ".join(str(len(token.encode("utf-16-le")) // 2) for token in tokens)  # as scripts count
    text, length = "".join(tokens), len(record.tokens)
    return _answer(record, agent, colour, record.source, text, length=length, hidden=hidden, numbers=numbers)


def _answer(stored: Sample | Rollout, agent: str, colour: str, kind: str, text: str, **more: Any) -> Answer:
    return Answer(
        agent=agent,
        colour=colour,
        kind=kind,
        title=KINDS[kind] if kind == "greedy" else f"{KINDS[kind]} {stored.index + 1}",
        correct=stored.correct,
        reason=stored.reason.replace("_", " "),
        extracted=stored.extracted,
        truncated=stored.truncated,
        # Control codes as their pictures, one for one: a parser drops some of them and changes others.
        text=text.translate(PICTURES),
        **more,
    )


def _first(tokens: Iterable[str]) -> list[str]:
    """The first tokens, of `LONGEST` characters at most."""
    shown, left = list[str](), LONGEST
    for token in tokens:
        left -= len(token)
        if left < 0:
            break
        shown.append(token)
    return shown


def _hundredths(values: Sequence[float]) -> str:
    return " ".join(str(round(100 * value)) if math.isfinite(value) else "x" for value in values)
