"""The published sets, whole: the settings of its task under which each part is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reasonenv.catalog import make_task
from reasonenv.data.files import Missing
from reasonenv.tasks import Task

SETS: tuple[tuple[str, dict[str, str]], ...] = (
    ("GSM8K", {"split": "train"}),
    ("GSM8K", {"split": "test"}),
    ("SVAMP", {"split": "train"}),
    ("SVAMP", {"split": "test"}),
    ("ASDiv", {"split": "train"}),
    ("ASDiv", {"split": "test"}),
    ("MultiArith", {"split": "train"}),
    ("MultiArith", {"split": "test"}),
    ("GSMSymbolic", {"split": "all", "variant": "main"}),
    ("GSMSymbolic", {"split": "all", "variant": "p1"}),
    ("GSMSymbolic", {"split": "all", "variant": "p2"}),
    ("MATH", {"split": "train"}),
    ("MATH", {"split": "test"}),
    ("MATH500", {"split": "test"}),
    ("AIME", {"split": "train"}),
    ("AIME", {"split": "test"}),
    ("AIME2025", {"split": "test"}),
    ("AIME2026", {"split": "test"}),
    ("AMC23", {"split": "test"}),
    ("Minerva", {"split": "test"}),
    ("OlympiadBench", {"split": "test"}),
    ("ARC", {"level": "challenge", "split": "train"}),
    ("ARC", {"level": "challenge", "split": "validation"}),
    ("ARC", {"level": "challenge", "split": "test"}),
    ("ARC", {"level": "easy", "split": "train"}),
    ("ARC", {"level": "easy", "split": "validation"}),
    ("ARC", {"level": "easy", "split": "test"}),
    ("HumanEval", {"split": "all"}),
    ("MBPP", {"split": "prompt"}),
    ("MBPP", {"split": "test"}),
    ("MBPP", {"split": "validation"}),
    ("MBPP", {"split": "train"}),
)


def published(folder: Path) -> Iterator[tuple[str, Task]]:
    """The sets whose files lie in a data folder, each with its name, such as `GSM8K test`. Nothing is downloaded.

    Raises `UserError` for a set that is there and broken.
    """
    for name, keys in SETS:
        try:
            task = make_task(name, data=folder, **keys)
        except Missing:
            continue
        yield " ".join((name, *keys.values())), task
