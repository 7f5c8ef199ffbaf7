"""The prompts of a task in token ids, made once for all processes that ask it alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from reasonenv.core import IntArray, Problem
from reasonenv.mdp.tool_calls import Schema
from reasonenv.tasks import Task, render_prompt
from reasonenv.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Prompts:
    """The problems of a task, each made once, and the prompt of each."""

    problems: tuple[Problem, ...]  # N
    ids: tuple[IntArray, ...]  # N arrays [P]
    longest: int  # of them

    def __deepcopy__(self, memo: dict[int, object]) -> Prompts:
        return self  # nothing in it ever changes


# Both keys are weak: prompts are forgotten with their task and with their tokenizer.
_known: WeakKeyDictionary[Task, WeakKeyDictionary[Tokenizer, dict[tuple[str, str], Prompts]]] = WeakKeyDictionary()


def prompts_of(task: Task, tokenizer: Tokenizer, style: str, tools: Sequence[Schema]) -> Prompts:
    """The prompts of a task for a tokenizer, in one of `tasks.PROMPTS`; the template tells of `tools`."""
    forms = _known.setdefault(task, WeakKeyDictionary()).setdefault(tokenizer, {})
    form = style, json.dumps(tools)
    if form not in forms:
        problems = tuple(task.problems)
        ids = rendered(task, problems, tokenizer, style, tools)
        forms[form] = Prompts(problems, ids, max(map(len, ids)))
    return forms[form]


def rendered(
    task: Task, problems: Sequence[Problem], tokenizer: Tokenizer, style: str, tools: Sequence[Schema]
) -> tuple[IntArray, ...]:
    """The prompt of each of some problems of a task, in ids.  # N arrays [P]"""
    rows = tokenizer.encode_all([render_prompt(task, problem, tokenizer, style, tools) for problem in problems])
    if not templated(tokenizer, style):  # a template writes its BOS itself
        prefix = tokenizer.prefix
        rows = [ids if ids[: len(prefix)] == prefix else prefix + ids for ids in rows]
    return tuple(np.array(ids, dtype=np.int64) for ids in rows)


def templated(tokenizer: Tokenizer, style: str) -> bool:
    """Whether prompts of a style are in the chat template of a tokenizer."""
    return tokenizer.has_chat_template and style != "plain"
