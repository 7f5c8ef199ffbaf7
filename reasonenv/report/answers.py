"""A browser of answers, token by token where a run kept them. Everything a policy wrote is escaped text.

The numbers of the tokens are whole numbers in attributes, in hundredths; the script colours the text by them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reasonenv.measures.questions import HeldOutProblem
from reasonenv.measures.rollouts import PROBLEMS as KEPT
from reasonenv.measures.rollouts import SAMPLES, TRAINING_GROUPS, TRAINING_SAMPLES, Rollout
from reasonenv.measures.samples import Sample
from reasonenv.report.curves import styles
from reasonenv.report.findings import Finding, Setting
from reasonenv.report.formats import visible
from reasonenv.report.sections import Section

PROBLEMS = 12
LONGEST = 2_000  # characters of an answer that are shown
KINDS = {"greedy": "greedy", "sampled": "sampled", "selected": "selected", "training": "while training"}
QUANTITIES = {"reward": "reward", "advantage": "advantage", "logp": "log-probability", "entropy": "entropy"}
CAPTION = (
    f"Of the first seed; problems on which the agents differ come first. Of {KEPT} held-out problems a run keeps the "
    f"tokens of the greedy answer and of {SAMPLES} sampled ones, and those of {TRAINING_GROUPS} groups of "
    f"{TRAINING_SAMPLES} of the last iteration, if it has advantages. Shown are {PROBLEMS} held-out problems and "
    f"{LONGEST:,} characters an answer."
)


@dataclass(frozen=True)
class Answer:
    """One answer of one agent, and how much of it the page shows."""

    agent: str
    kind: str  # a key of `KINDS`
    stored: Sample | Rollout
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
    columns: Mapping[str, str | float | None] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)


def answers(setting: Setting) -> Section | None:
    """Answers of the first seed of every agent, to some problems."""
    if not setting.findings:
        return None
    questions = _questions(setting)
    present = set[str]()  # kinds of answers, and quantities of tokens
    for question in questions:
        for answer in question.answers:
            present |= {answer.kind, *answer.numbers}
    data = {
        "caption": CAPTION,
        "questions": questions,
        "styles": styles(setting),
        "findings": setting.findings,
        "kinds": KINDS,
        "quantities": QUANTITIES,
        "present": present,
    }
    return Section("Answers", "answers", data, "answers.html.j2")


def _questions(setting: Setting) -> list[Question]:
    """Held-out problems first, then those of the groups that were kept while training."""
    questions = {}
    for problem in chosen_problems(setting):
        questions[problem] = Question(problem, *setting.problems.get(problem, _recorded_question(setting, problem)))
        for finding in setting.findings:
            questions[problem].answers.extend(_held_out(finding, problem))
    for finding in setting.findings:
        for record in finding.cells[0].token_records:
            if record.source == "training":
                new = Question(record.problem_id, record.question, record.gold)
                questions.setdefault(record.problem_id, new).answers.append(_of_tokens(record, finding.agent))
    return list(questions.values())


def _recorded_question(setting: Setting, problem: str) -> HeldOutProblem:
    """What a problem asks by the answers that were kept, of which each knows its question."""
    for finding in setting.findings:
        for record in finding.cells[0].token_records:
            if record.problem_id == problem:
                return HeldOutProblem(record.question, record.gold)
    return HeldOutProblem("", "")


def chosen_problems(setting: Setting) -> list[str]:
    """Up to `PROBLEMS` ids, those kept token by token first, of these those on whose greedy answers agents differ."""
    verdicts: dict[str, set[bool]] = defaultdict(set)
    recorded = set()
    for finding in setting.findings:
        samples = finding.cells[0].samples
        for problem in samples.problems:
            verdicts[problem] |= set()
        for number, correct in zip(samples.problem[samples.greedy], samples.correct[samples.greedy], strict=True):
            verdicts[samples.problems[number]].add(bool(correct))
        for record in finding.cells[0].token_records:
            if record.source != "training":
                recorded.add(record.problem_id)
    differing, alike = list[str](), list[str]()
    for problem in sorted(verdicts, key=lambda problem: (problem not in recorded, problem)):
        if len(verdicts[problem]) == 2:
            differing.append(problem)
        else:
            alike.append(problem)
    first = (differing[: PROBLEMS * 3 // 4] + alike)[:PROBLEMS]
    return first + differing[PROBLEMS * 3 // 4 :][: PROBLEMS - len(first)]


def _held_out(finding: Finding, problem: str) -> list[Answer]:
    """The answers kept token by token, else the greedy one and the first sample."""
    cell = finding.cells[0]
    answers = []
    for record in cell.token_records:
        if record.problem_id == problem and record.source != "training":
            answers.append(_of_tokens(record, finding.agent))
    if answers:
        return answers
    first: dict[str, Sample] = {}  # by kind
    for sample in sorted(cell.samples.records(problem), key=lambda sample: (not sample.greedy, sample.index)):
        first.setdefault(_kind(sample), sample)
    return [_of_text(sample, kind, finding.agent) for kind, sample in first.items()]


def _kind(sample: Sample) -> str:
    if sample.greedy:
        return "greedy"
    return "selected" if sample.selected else "sampled"


def _of_text(sample: Sample, kind: str, agent: str) -> Answer:
    text = sample.text[:LONGEST]
    return Answer(agent, kind, sample, sample.length, visible(text), len(sample.text) - len(text))


def _of_tokens(record: Rollout, agent: str) -> Answer:
    first = _first(record.tokens)
    hidden = sum(map(len, record.tokens)) - sum(map(len, first))
    tokens = list(map(visible, first))
    numbers = {"tokens": " ".join(str(len(token.encode("utf-16-le")) // 2) for token in tokens)}  # as scripts count
    for key, values in (
        ("reward", record.rewards),
        ("advantage", record.advantages),
        ("logp", record.logps),
        ("entropy", record.entropies),
    ):
        if values:
            numbers[key] = _hundredths(values[: len(tokens)])
    return Answer(agent, record.source, record, len(record.tokens), "".join(tokens), hidden, numbers)


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
