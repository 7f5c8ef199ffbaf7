"""A task is problems, a way to ask them, and a verifier. Environments and trainers are made from it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from functools import cached_property
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.errors import UserError, check_known, title
from reasonenv.seeding import derive_seed
from reasonenv.tokenizer import Tokenizer

TEST, VALIDATION = "test", "validation"  # parts of a task on which a policy may be measured
PROMPTS = ("auto", "chat", "few_shot", "plain")
Verifier = Callable[[str, Problem], Verdict | float]  # (response, problem); True and False are numbers
NAME = re.compile(r"[\w-]+")  # of a reward or metric of a task; `reward=` joins names by +
ANSWER_FORM = "answer_form"  # in a problem's meta: how a solution states its answer, if not so:
MARKED = "#### {}"

Factory = TypeVar("Factory", bound="Callable[..., Task]")


def in_test(question: str, *, one_in: int) -> bool:
    """Whether a question belongs to the test split, as one of `one_in` does: a hash of the question alone decides.

    So no question is in both splits, whatever the seeds, sizes and orders of the two.
    """
    return derive_seed("split", question) % one_in == 0


@dataclass(frozen=True, eq=False)  # a task is equal to itself alone: it may hold functions and a million problems
class Task:
    """One split of one task, ready to be asked and checked.

    `verify(text, problem)` judges a finished response: it returns a `Verdict`, whether the response is right, or a
    score in [0, 1], of which 1 is right and the rest partial credit; `judge` makes a `Verdict` of each. `instruction`
    tells a chat model what form of answer is wanted; a plain prompt shows the question alone. `max_tokens` is the
    response budget that suits the task when the user gives none. `rewards` are known by their names to `reward=` of
    this task alone; `metrics` are measured of every finished response, numbers in [0, 1] that stand beside its
    accuracy. Both are functions of what their parameters name, see `reasonenv.mdp.user_functions`. `system` is the
    system prompt where the tokenizer has a chat template; other prompts have none.
    """

    name: str
    split: str
    problems: Sequence[Problem]
    verify: Verifier
    instruction: str = "Think step by step. End with the final number on its own line, after ####."
    max_tokens: int = 256
    examples: tuple[Problem, ...] = ()  # solved training problems that a few-shot prompt shows first
    rewards: Mapping[str, Callable[..., float]] = field(default_factory=dict)
    metrics: Mapping[str, Callable[..., float]] = field(default_factory=dict)
    system: str = ""
    # What the environment says to a turn of the policy, before what the setting `replies` adds; see `mdp/replies.py`.
    replies: tuple[Callable[[str, Problem, Any], Any], ...] = ()

    # Makes this very task again; `make_task` leaves it. A changed copy of the task has none.
    remake: Callable[[], Task] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if next(iter(self.problems), None) is None:  # their number may be known only when all are made
            raise UserError(f"task {self.name!r} has no problems in split {self.split!r}; give it at least one")
        for kind, functions in (("reward", self.rewards), ("metric", self.metrics)):
            for name, function in functions.items():
                if not callable(function) or not NAME.fullmatch(name):
                    raise UserError(
                        f"task {self.name!r} has the {kind} {name!r}: {function!r:.60}; it must be a function with a "
                        "name of letters, digits, _ and -"
                    )

    def __reduce__(self) -> Any:
        """A task made by name is pickled as that name and its settings; what it is made of may be closures."""
        return super().__reduce__() if self.remake is None else (self.remake, ())

    def __deepcopy__(self, memo: dict[int, Any]) -> Task:
        return self  # nothing in it ever changes

    def judge(self, text: str, problem: Problem) -> Verdict:
        """What `verify` says, as a verdict. Of a score or a bool the answer is the whole response.

        Raises `UserError` that names the verifier, the problem and the value if it is neither of these.
        """
        returned: Any = self.verify(text, problem)
        if isinstance(returned, Verdict):
            return returned
        if not isinstance(returned, (Real, np.bool_)) or not 0 <= float(returned) <= 1:
            raise UserError(
                f"the verifier {title(self.verify)!r} of {self.name} returned {returned!r:.60} on {problem.id}; it "
                "must return True or False, a score from 0 to 1, or a Verdict"
            )
        return scored(float(returned), text, problem)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of every problem, of all that its verdict depends on: two runs that agree on it saw the same data."""
        digest = hashlib.sha256()
        for p in self.problems:
            digest.update(_settled((p.id, p.question, p.answer, p.steps, p.meta)).encode())
        return digest.hexdigest()[:16]


def repeatable(factory: Factory) -> Factory:
    """Marks a factory that makes the same task of the same arguments, so that environments may share it.

    Beside its arguments the task may depend on files that are read through `reasonenv.data.files` and on what is in a
    `Registry`: when either has changed, the task is made again.
    """
    factory.repeatable = True  # type: ignore[attr-defined]
    return factory


def scored(score: float, text: str, problem: Problem) -> Verdict:
    """The verdict on a whole response that is worth so much."""
    return Verdict(Reason.of(score == 1), text.strip(), problem.answer, score=score)


def _settled(value: Any) -> str:
    """A text of plain data that is the same in every process; of anything else, whose text has an address, its type."""
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{_settled(k)}:{_settled(v)}' for k, v in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_settled, value))}]"
    if isinstance(value, (set, frozenset)):
        return f"<{','.join(sorted(map(_settled, value)))}>"
    if is_dataclass(value) and not isinstance(value, type):
        return _settled(vars(value))
    return repr(value) if value is None or isinstance(value, (str, bytes, int, float)) else type(value).__qualname__


def reference_solution(problem: Problem) -> str:
    """The solution text that supervised agents imitate: the reference steps, then the marked answer."""
    form = str(problem.meta.get(ANSWER_FORM, MARKED))
    return "\n".join((*problem.steps, form.replace("{}", problem.answer)))


def render_prompt(
    task: Task, problem: Problem, tokenizer: Tokenizer, style: str = "auto", tools: Sequence[Mapping[str, Any]] = ()
) -> str:
    """The text shown to the model. A chat template is told of `tools`, which are JSON schemas.

    `chat`: the question and the instruction in the model's own template. `plain`: the question alone. `few_shot`: the
    task's examples first, each with its reference solution, as earlier turns of the chat or, without one, as text.
    `auto`: `chat` where the tokenizer has a template, else `plain`.
    Raises `UserError` for an unknown style, a missing template or a task without examples.
    """
    check_known("prompt", style, PROMPTS)
    if style == "chat" or (style == "auto" and tokenizer.has_chat_template):
        return tokenizer.chat([f"{problem.question}\n{task.instruction}"], tools, system=task.system)
    if style == "few_shot":
        if not task.examples:
            raise UserError(f"task {task.name!r} has no examples; use prompt=chat or prompt=plain")
        shown = [text for e in task.examples for text in (e.question, reference_solution(e))]
        if tokenizer.has_chat_template:
            return tokenizer.chat([*shown, problem.question], tools, system=task.system)
        turns = zip(("Question", "Answer") * len(task.examples), shown, strict=True)
        return "".join(f"{who}: {text}\n" for who, text in turns) + f"Question: {problem.question}\nAnswer: "
    return f"{problem.question}\n"
