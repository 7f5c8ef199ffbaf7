"""ARC: school science as multiple choice (Clark et al. 2018, arXiv:1803.05457), and any JSON lines in its format.

Source: the AI2 Reasoning Challenge of the Allen Institute, `ARC-Challenge-Train.jsonl` and its like in a folder `arc`,
hub allenai/ai2_arc; licence CC BY-SA 4.0. Size: challenge 1,119 train, 299 validation, 1,172 test; easy 2,251, 570 and
2,376. Three to five choices.

    question   Which of these melts first?
               (A) ice   (B) iron   (C) salt   (D) glass                            (made up; the format is ARC's)
    answer     A

Some choices are numbered 1 to 4 in the source; all are lettered here, so that one form of answer is asked for.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from reasonenv.core import Problem, Verdict
from reasonenv.data.files import DataPath, Record, Source, first, records
from reasonenv.errors import UserError, check_known
from reasonenv.tasks import Task, repeatable
from reasonenv.verify.canonical import verdict
from reasonenv.verify.choice import compare_choice, find_choice

SPLITS = ("test", "train", "validation")
LEVELS = ("challenge", "easy")
INSTRUCTION = "Think step by step. End with the letter of the right choice on its own line, after ####."


@repeatable
def arc(*, split: str = "train", level: str = "challenge", data: DataPath = None, limit: int | None = None) -> Task:
    """ARC of a `level`, split `train`, `validation` or `test`; `data` as in `reasonenv.data.records`.

    `limit` keeps the first problems only. Raises `UserError` for an unknown split or level, missing data, a broken
    record or a limit below 1.
    """
    check_known("arc split", split, SPLITS)
    check_known("arc level", level, LEVELS)
    part = {"validation": "Dev"}.get(split, split.title())
    name = f"ARC-{level.title()}"
    source = Source(f"arc/{name}-{part}.jsonl", "allenai/ai2_arc", (f"{name}/{split}/0000.parquet",))
    problems = [_problem(record) for record in records(source, data)]
    return Task("ARC", split, first(problems, limit), verify_choice, INSTRUCTION, max_tokens=128)


def verify_choice(text: str, problem: Problem) -> Verdict:
    """The letter that a response settles on, or the text of the choice."""
    start = perf_counter()
    choice = find_choice(text)
    reason = compare_choice(choice, problem.answer, problem.meta["choices"])
    return verdict(reason, choice, problem.answer, "choice", since=start, choices=problem.meta["choices"])


def _problem(record: Record) -> Problem:
    labels, texts = _choices(record)
    key = record.text("answerKey")
    if key not in labels:
        raise UserError(f"{record.where}: field 'answerKey' is {key!r}; it must be one of the choices {labels}")
    letters = [chr(ord("A") + i) for i in range(len(texts))]
    question = record.fields.get("question")
    stem = Record(record.where, question).text("stem") if isinstance(question, dict) else record.text("question")
    lines = (f"({letter}) {text}" for letter, text in zip(letters, texts, strict=True))
    meta = {"choices": tuple(texts)}
    return Problem(f"arc/{record.text('id')}", "\n".join((stem, *lines)), letters[labels.index(key)], (), meta)


def _choices(record: Record) -> tuple[list[str], list[str]]:
    """Labels and texts: inside the question as published, or as two lists on the hub."""
    question = record.fields.get("question")
    holder = question if isinstance(question, dict) else record.fields
    choices: Any = holder.get("choices")
    try:
        if isinstance(choices, dict):
            labels, texts = list(map(str, choices["label"])), list(map(str, choices["text"]))
        else:
            labels, texts = [str(each["label"]) for each in choices], [str(each["text"]) for each in choices]
    except (KeyError, TypeError, ValueError):
        labels = texts = []
    if len(labels) < 2 or len(labels) != len(texts):
        raise UserError(f"{record.where}: field 'choices' is {choices!r}; it must hold two or more of label and text")
    return labels, texts
