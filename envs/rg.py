"""RG-<name>: the procedural generators of the reasoning-gym package, each with its own scoring (arXiv:2505.24760).

Source: github.com/open-thought/reasoning-gym, licence Apache-2.0; `pip install reasoning-gym`. Size: as many problems
as are asked for, up to the number of different questions. The fields of a generator's configuration are settings of its
task: `RG-leg_counting max_animals=4`.

    question   Your task is to count how many legs there are in total when given a list of animals. ...
    answer     18

Problem i is a pure function of (seed, split, i) and the settings. A hash of the question decides its split (every
second one is `test`), so the splits share none, and within a split no question comes twice, see
`reasonenv.data.procedural`: a generator that has too few says so.

The score of a response is that of the generator for its answer, partial credit included, and it is correct if that is
1: the text behind the last ####, over several lines if need be, or in the last <answer> or box. Ten of the scorers hand
text to Python's `eval` or SymPy's; what they get is checked first, and an answer that is more than numbers, words and
operators is `unparsable_answer`. So is one on which the scorer raises. Scoring runs in the processes of
`reasonenv.verify.pool`: an answer on which it hangs or dies is `wrong`, and costs no more than its own verdict.
Generators that run programs (`codeio`, `bf`) or print make their problems in processes too, each problem in an empty
folder: nothing is printed, no file is left behind, and a program without end costs its own draw. So does one whose
result differs when it is run again, as it reads the clock or the system's entropy; one that agrees by chance stays.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from importlib import import_module
from inspect import Parameter, Signature
from time import perf_counter
from typing import Any

import numpy as np

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.data.procedural import Candidate, Procedural
from reasonenv.errors import UserError, check_known
from reasonenv.seeding import derive_seed
from reasonenv.tasks import Task, repeatable
from reasonenv.verify.canonical import verdict
from reasonenv.verify.extract import find_answer
from reasonenv.verify.pool import shared

SIZES = {"train": 500, "test": 100}  # some generators take a tenth of a second for a problem
PATIENCE = 256  # draws in a row without a new question, after which a generator counts as used up
BLOCK = 1024  # draws of one generator object; some make all entries at once, in an order that hangs on their number
TIMEOUT = 10.0  # seconds for one verdict; the first of a generator takes up to half a second of work
EXAMPLES = 2  # training problems that a few-shot prompt shows
INSTRUCTION = "Think step by step. End with the answer alone, after ####."

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
# Answers that a scorer hands to eval or to SymPy's parser, and what of them is refused or let through before.
_EVALUATED = {"binary_matrix", "n_queens", "number_sorting", "spiral_matrix", "string_insertion"}
_ARITHMETIC = {"countdown", "puzzle24"}
_ALGEBRA = {"intermediate_integration", "polynomial_multiplication", "simple_integration"}
_APART = {"bf", "codeio", "rectangle_count"}  # they run programs of the package, or print
_CODE = re.compile(r"__|[(){}*@:=]|\.\s*[A-Za-z]|\b(?:for|if|lambda|import|await|yield)\b")
_NUMBERS = r"[0-9]{1,9}(?![0-9])|[-+/().,|\s]|\*(?!\*)"
_WORDS = r"(?:a?(?:sin|cos|tan)h?|exp|log|ln|sqrt|pi|[a-zA-Z])(?![A-Za-z])"
_EXPONENT = r"(?:[0-9]{1,2}|\(-?[0-9]{1,2}(?:/[0-9]{1,2})?\))(?![0-9]|\*\*|\^)"
_POWERS = rf"(?<!\))(?:\*\*|\^){_EXPONENT}"  # no tower, nor anything that could be one
_SUM = re.compile(f"(?:{_NUMBERS})*")
_FORMULA = re.compile(f"(?:{_NUMBERS}|{_WORDS}|{_POWERS})*")
_SHOWN = ("example_answer", "example_correct_answer", "possible_answer")  # where several answers are right, one of them


def __getattr__(name: str) -> Callable[..., Task]:
    """The factory of the generator `name`: the registry asks for `reasonenv.envs.rg:leg_counting`."""
    if name.startswith("_"):
        raise AttributeError(name)
    return generator_task(name)


@cache
def generator_task(name: str) -> Callable[..., Task]:
    """A factory of tasks with the keywords `split`, `size`, `seed` and the fields of the generator's configuration.

    Raises `UserError` if reasoning-gym is not installed or has no such generator.
    """
    try:
        known: dict[str, tuple[Any, Any]] = import_module("reasoning_gym.factory").DATASETS
    except ImportError:
        raise UserError(f"RG-{name} needs the package reasoning-gym; pip install reasoning-gym") from None
    check_known("reasoning-gym generator", name, known)
    make, config_class = known[name]

    @repeatable
    def factory(*, split: str = "train", size: int | None = None, seed: int = 0, **config: Any) -> Task:
        check_known("reasoning-gym split", split, SIZES)

        generator = _Generator(name, make, config_class, seed, config)
        problems = Procedural(
            name=f"RG-{name}",
            prefix=f"rg/{name}",
            seed=seed,
            split=split,
            one_in=2,
            draw=generator.draw,
            patience=PATIENCE,
            size=size,
            default=SIZES[split],
            remedy="widen its configuration",
        )
        examples = tuple(problem for problem in problems.examples(EXAMPLES) if problem.answer)
        return Task(f"RG-{name}", split, problems, generator.verify, INSTRUCTION, 1024, examples)

    keys: dict[str, Any] = {"split": "str", "size": "int | None", "seed": "int"}
    keys |= {f.name: f.type for f in fields(config_class) if f.name not in keys}
    defaults = {**vars(config_class()), "split": "train", "size": None, "seed": 0}
    parameters = [Parameter(k, Parameter.KEYWORD_ONLY, annotation=v, default=defaults[k]) for k, v in keys.items()]
    factory.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return factory


class _Generator:
    """One generator: objects of reasoning-gym, one for each block of draws."""

    def __init__(self, name: str, make: Any, config_class: Any, seed: int, config: dict[str, Any]) -> None:
        self.name, self.seed = name, seed
        self._make, self._config_class, self._config = make, config_class, config
        self._blocks: dict[tuple[str, int], Any] = {}

    def _block(self, split: str, number: int) -> Any:
        if (split, number) not in self._blocks:
            seed = derive_seed(self.seed, "reasoning-gym", split, number) % 2**31
            try:
                config = self._config_class(seed=seed, size=BLOCK, **self._config)
                self._blocks[split, number] = self._make(config)
            except (AssertionError, TypeError, ValueError) as error:
                raise UserError(f"RG-{self.name} refuses {self._config or 'its settings'}: {error}") from None
        return self._blocks[split, number]

    def draw(self, split: str, index: int) -> Candidate | None:
        """Entry `index` of the blocks of a split, one behind the other; None if making it failed or took too long."""
        number, place = divmod(index, BLOCK)
        block = self._block(split, number)
        entry = self._apart(block.seed, place) if self.name in _APART else block[place]
        if entry is None:
            return None
        question, answer = str(entry["question"]), entry["answer"]
        if answer is None:
            answer = next((entry["metadata"][key] for key in _SHOWN if key in entry["metadata"]), "")
            answer = json.dumps(answer) if isinstance(answer, dict) else answer
        return question, lambda id: Problem(id, question, str(answer), (), {"entry": entry})

    def _apart(self, seed: int, place: int) -> Any:
        """An entry of the block with a seed, made in a process of its own; None if there is none."""
        sent = (self.name, packed(self._config), str(seed), str(BLOCK), str(place))
        reply = shared("generators").call("reasonenv.envs.rg_scoring:draw", sent, TIMEOUT)
        return unpacked(reply) if reply.startswith("{") else None  # else empty, or the reason why there is none

    def verify(self, text: str, problem: Problem) -> Verdict:
        """What the generator's own scoring gives the answer in `text`; full marks are correct."""
        start = perf_counter()
        answer, reason, score = _answer(text), Reason.NO_ANSWER, 0.0
        if answer is not None:
            reason, score = self._score(answer, problem)
        return verdict(reason, answer, problem.answer, "lines", since=start, score=score)

    def _score(self, answer: str, problem: Problem) -> tuple[Reason, float]:
        if not _harmless(self.name, answer):
            return Reason.UNPARSABLE_ANSWER, 0.0
        sent = (self.name, packed(self._config), packed(problem.meta["entry"]), answer)
        reply = shared().call("reasonenv.envs.rg_scoring:score", sent, TIMEOUT)
        if reply in frozenset(Reason):  # the pool's, or that the scorer could not read the answer
            return Reason(reply), 0.0
        marks = float(reply)
        return Reason.of(marks >= 1), max(0.0, min(marks, 1.0))


def packed(value: Any) -> str:
    """Data of the package as a Python literal: tuples, and keys that are numbers, stay what they are."""
    return repr(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {_plain(key): _plain(entry) for key, entry in value.items()}
    return type(value)(map(_plain, value)) if isinstance(value, (list, tuple, set)) else value


def unpacked(text: str) -> Any:
    """The inverse of `packed`. Raises `ValueError` for what is no literal."""
    return ast.literal_eval(text)


def _answer(text: str) -> str | None:
    """What stands behind the last ####, else in the last <answer>, else in the last mark of another kind."""
    _, mark, behind = text.rpartition("#### ")
    if mark:
        return behind.strip("\n") or None
    tagged: list[str] = _TAGGED.findall(text)
    if tagged:
        return tagged[-1].strip()
    return find_answer(text, "marked")


def _harmless(name: str, answer: str) -> bool:
    if name in _ARITHMETIC | _ALGEBRA:
        pattern = _SUM if name in _ARITHMETIC else _FORMULA
        return len(answer) <= 500 and pattern.fullmatch("".join(answer.split())) is not None
    return len(answer) <= 20_000 and not (name in _EVALUATED and _CODE.search(answer))
