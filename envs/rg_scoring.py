"""What `rg` has done in the workers of `reasonenv.verify.pool`: scoring, and drawing from generators that run programs.

A module of its own, so that importing it imports the package: that takes seconds, and is done before the clock starts.
"""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from functools import lru_cache
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from reasonenv.core import Reason
from reasonenv.envs.rg import packed, unpacked

DATASETS = import_module("reasoning_gym.factory").DATASETS


def score(name: str, config: str, entry: str, answer: str) -> str:
    """The marks of the generator `name` for an answer to one of its entries; `config` and `entry` are `rg.packed`."""
    try:
        with _apart():
            marks = float(_dataset(name, config, seed=0, size=1).score_answer(answer, unpacked(entry)))
    except MemoryError:
        raise
    except Exception:  # a hundred scorers, none of which says what it raises for text that it cannot read
        return Reason.UNPARSABLE_ANSWER
    return repr(marks)


def draw(name: str, config: str, seed: str, size: str, place: str) -> str:
    """Entry `place` of an object of the generator `name`, `rg.packed`; empty if it failed or is another each time."""
    try:
        entries = {_entry(name, config, int(seed), int(size), int(place)) for _ in range(2)}
    except (Exception, SystemExit):  # programs of others, which may do anything
        return ""
    return entries.pop() if len(entries) == 1 else ""  # some read the clock or the system's entropy


def _entry(name: str, config: str, seed: int, size: int, place: int) -> str:
    random.seed(seed + place)  # some programs draw from these two
    np.random.seed((seed + place) % 2**32)
    with _apart():
        return packed(_dataset(name, config, seed=seed, size=size)[place])


@lru_cache(maxsize=16)
def _dataset(name: str, config: str, *, seed: int, size: int) -> Any:
    """An object of the generator. Scoring reads its configuration and the entry, neither seed nor size."""
    make, config_class = DATASETS[name]
    return make(config_class(seed=seed, size=size, **unpacked(config)))


@contextmanager
def _apart() -> Iterator[None]:
    """In an empty folder that is removed behind, with nothing to read and what is printed thrown away."""
    jobs, sys.stdin = sys.stdin, io.StringIO()
    nowhere = io.StringIO()
    try:
        with TemporaryDirectory() as folder, chdir(folder), redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield
    finally:
        sys.stdin = jobs
