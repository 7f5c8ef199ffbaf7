"""What holds of every task, checked one by one: `check_task` for a test of your own, `reasonenv check` to read it.

Each check is one claim. It returns what it looked at, or fails with the first thing that contradicts the claim.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, cycle
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from reasonenv.catalog import check_keys, make_task
from reasonenv.core import Completion, Problem, Reason, Trajectory
from reasonenv.data.files import Missing
from reasonenv.data.procedural import Procedural
from reasonenv.data.repeats import alike, contradicted, repeated, shown
from reasonenv.errors import UserError
from reasonenv.mdp.config import ENV_KEYS, EnvConfig, divided
from reasonenv.mdp.env import GRANULARITIES, ReasoningEnv, replay
from reasonenv.mdp.make import held_out_keys, resolve_tokenizer
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.tasks import ANSWER_FORM, MARKED, Task, reference_solution, render_prompt
from reasonenv.tokenizer import Tokenizer
from reasonenv.verify.numeric import parse_number

SAMPLE = 200  # problems of a split that are verified
MOST = 100_000  # problems of a split whose questions are compared
EPISODES = 3  # problems on which whole episodes are played
SPLITS = ("train", "test")


class _Failed(Exception):
    """What contradicts a claim."""


class _Remark(Exception):
    """What does not contradict a claim, but should be known."""


@dataclass(frozen=True)
class Check:
    """One claim: whether it holds, and what was seen of it. A `remark` is no failure, but should be known."""

    name: str
    holds: bool
    seen: str
    remark: bool = False


def check_task(
    task: str | Callable[..., Task], *, sample: int = SAMPLE, tokenizer: Any = None, **keys: Any
) -> list[Check]:
    """Every claim about a task: a registered name, `module:factory`, `file.py:factory`, or a factory itself.

    `keys` are the task's own and those of the environment, see `EnvConfig`. At most `sample` problems of a split are
    verified; questions are compared over the whole splits, up to `MOST` problems. Raises `UserError` for an unknown
    task or key, missing data, or a sample below 1.
    """
    if sample < 1:
        raise UserError(f"sample is {sample}; it must be at least 1")
    keys.pop("split", None)
    config, keys = divided(keys)
    check_keys(task, keys, others=("tokenizer", *ENV_KEYS))
    subject = _Subject(task, sample, resolve_tokenizer(tokenizer), config, keys)
    try:
        subject.mdp  # noqa: B018  # both splits and the process: without them there is nothing to check
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the task cannot be made: {type(error).__name__}: {error}") from error
    return [_checked(name, claim, subject) for name, claim in CLAIMS.items()]


@dataclass(frozen=True)
class _Subject:
    """The task under examination."""

    task: str | Callable[..., Task]
    sample: int
    tokenizer: Tokenizer
    config: EnvConfig
    keys: dict[str, Any]

    def make(self, split: str) -> Task:
        keys = {**self.keys, "split": split}
        if split == "test":
            keys = held_out_keys(self.task, keys)
        return make_task(self.task, **keys)

    @cached_property
    def splits(self) -> dict[str, Task]:
        """The splits whose data is there; a set may have been published, or fetched, as a test alone."""
        made, missing = dict[str, Task](), list[Missing]()
        for split in SPLITS:
            try:
                made[split] = self.make(split)
            except Missing as error:
                missing.append(error)
        if not made:
            raise missing[0]
        return made

    @property
    def first(self) -> Task:
        """The task of the first split that is there: what does not depend on the split is looked at in it."""
        return next(iter(self.splits.values()))

    @cached_property
    def problems(self) -> dict[str, Sequence[Problem]]:
        """The problems of each split, up to `MOST` of each."""
        return {split: task.problems[:MOST] for split, task in self.splits.items()}

    def sampled(self) -> Iterable[tuple[Task, Problem]]:
        """At most `sample` problems of each split, spread over it."""
        for task in self.splits.values():
            count = min(self.sample, len(task.problems))
            for i in np.linspace(0, len(task.problems) - 1, count).astype(int).tolist():
                yield task, task.problems[i]

    @cached_property
    def mdp(self) -> ReasoningMDP:
        """The process of the first few problems, with just the room that their reference solutions need.

        A conversation has the room that its task gives it.
        """
        task = self.first  # makes the other split too
        problems = task.problems[:EPISODES]
        config = self.config
        if config.max_tokens is None and not (task.replies or config.replies or config.tools):
            room = max(len(self.tokenizer.encode(reference_solution(p))) for p in problems) + 8
            config = replace(config, max_tokens=room)
        return ReasoningMDP(replace(task, problems=problems), self.tokenizer, config)

    @cached_property
    def episodes(self) -> list[Trajectory]:
        """Of each problem the reference solution, another answer, a response cut short, and one without end.

        Where the environment answers, the policy says the same in each of its turns.
        """
        episodes, mdp, end = [], self.mdp, self.mdp.end_id
        for i, problem in enumerate(mdp.task.problems):
            gold = self.tokenizer.encode(reference_solution(problem))
            wrong = self.tokenizer.encode(reference_solution(replace(problem, answer=altered(problem.answer))))
            for turn in ([*gold, end], [*wrong, end], [*gold[: len(gold) // 2], end], gold):
                taken = np.array(self._said(i, turn), dtype=np.int64)
                stop: Literal["eos", "length"] = "eos" if taken[-1] in self.tokenizer.ends else "length"
                episodes.append(mdp.trajectory(i, Completion.unsampled(taken, stop)))
        return episodes

    def _said(self, index: int, turn: Sequence[int]) -> list[int]:
        """The tokens of a policy that writes `turn` again and again, until the episode is over."""
        tokens, state = [], self.mdp.initial(index)
        for token in cycle(turn):
            tokens.append(token)
            state = self.mdp.transition(state, token)
            if self.mdp.over(state):
                break
        return tokens


def altered(answer: str) -> str:
    """An answer beside `answer`: the next number or letter, a text without its last line, else something more."""
    value = parse_number(answer)
    if value is not None:
        return str(value + 1)
    if "\n" in answer:
        return answer.rpartition("\n")[0]
    if len(answer) == 1 and "A" <= answer < "Z":
        return chr(ord(answer) + 1)
    return f"{answer} + 1"


def _checked(name: str, claim: Callable[[_Subject], str], subject: _Subject) -> Check:
    try:
        return Check(name, True, claim(subject))
    except _Remark as remark:
        return Check(name, True, str(remark), remark=True)
    except _Failed as failure:
        return Check(name, False, str(failure))
    except (Exception, SystemExit) as error:  # the task is somebody else's code: whatever it raises is the finding
        return Check(name, False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _claim(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _Failed(otherwise)


def _ids(subject: _Subject) -> str:
    for split, problems in subject.problems.items():
        counts = Counter(problem.id for problem in problems)
        twice = next((id for id, count in counts.items() if count > 1), None)
        _claim(twice is None, f"{split} has two problems with the id {twice!r}; replay finds problems by their ids")
    return f"{', '.join(f'{len(t.problems)} {s}' for s, t in subject.splits.items())} problems"


def _once(subject: _Subject) -> str:
    repeats = {split: repeated(split, problems) for split, problems in subject.problems.items()}
    test, train = repeats.get("test"), repeats.get("train")
    _claim(test is None, f"{test}; a held-out set is no larger than its different questions")
    if train is not None:  # a question may be weighted, or solved in several ways
        raise _Remark(train)
    return f"{' and '.join(str(len(problems)) for problems in subject.problems.values())} questions, all different"


def _one_answer(subject: _Subject) -> str:
    problems = chain.from_iterable(subject.problems.values())
    contradiction = contradicted(problems, subject.first.judge)
    _claim(contradiction is None, str(contradiction))
    return "no question has several answers"


def _disjoint(subject: _Subject) -> str:
    if len(subject.splits) < len(SPLITS):
        raise _Remark(f"there is data for {' and '.join(subject.splits)} alone")
    train = {problem.question for problem in subject.problems["train"]}
    test = {problem.question for problem in subject.problems["test"]}
    both = train & test
    _claim(not both, f"{len(both)} questions are in both splits, as {shown(min(both, default=''))} is")
    leaked = {p.question for task in subject.splits.values() for p in task.examples} & test
    _claim(not leaked, f"a few-shot example is a test problem: {shown(min(leaked, default=''))}")
    return f"{len(train)} and {len(test)} questions, none in both, none of test among the examples"


def _not_alike(subject: _Subject) -> str:
    near_duplicates = alike(subject.problems)
    if near_duplicates is not None:
        raise _Remark(near_duplicates)
    return "no question comes again with other white space or case"


def _repeatable(subject: _Subject) -> str:
    for split, task in subject.splits.items():
        again = subject.make(split)
        if not isinstance(task.problems, Procedural):  # to count those, all of them would be made again
            _claim(len(again.problems) == len(task.problems), f"{split} has another size when it is made again")
        for i in range(min(EPISODES, len(task.problems))):
            _claim(again.problems[i] == task.problems[i], f"{split} problem {i} is another when the task is made again")
    env = ReasoningEnv(subject.mdp, "token")
    for seed in range(EPISODES):
        (first, info), (second, other) = env.reset(seed=seed), env.reset(seed=seed)
        _claim(info == other, f"reset(seed={seed}) starts {info['problem_id']}, then {other['problem_id']}")
        _claim(bool((first["tokens"] == second["tokens"]).all()), f"reset(seed={seed}) gives two observations")
    return "made twice, reset twice with each seed: the same"


def _golds(subject: _Subject) -> str:
    seen = without = 0
    for task, problem in subject.sampled():
        if not problem.answer:
            without += 1
            continue
        text = reference_solution(problem)
        verdict = task.judge(text, problem)
        form = problem.meta.get(ANSWER_FORM, MARKED)
        _claim(
            verdict.correct,
            f"{problem.id}: its own answer {problem.answer[:80]!r} is {verdict.reason}; what was judged is "
            f"{text[-120:]!r}, as meta[{ANSWER_FORM!r}] is {form!r}: let it be how your verifier reads an answer",
        )
        seen += 1
    return f"{seen} reference solutions are correct" + (f", {without} problems have none" if without else "")


def _settled(subject: _Subject) -> str:
    seen = 0
    for task, problem in subject.sampled():
        text = reference_solution(problem)
        one, other = (task.judge(text, problem) for _ in range(2))
        both = " and then ".join(f"{verdict.reason} ({str(verdict.extracted)[:40]!r})" for verdict in (one, other))
        _claim(one == other, f"{problem.id}: its reference solution is {both}")
        seen += 1
    return f"{seen} reference solutions were judged twice"


def _altered(subject: _Subject) -> str:
    seen = 0
    for task, problem in subject.sampled():
        if problem.answer:
            other = replace(problem, answer=altered(problem.answer))
            verdict = task.judge(reference_solution(other), problem)
            _claim(not verdict.correct, f"{problem.id}: {other.answer[:80]!r} is accepted for {problem.answer[:80]!r}")
            seen += 1
    return f"{seen} answers altered by one are not correct"


def _silence(subject: _Subject) -> str:
    seen = 0
    for task, problem in subject.sampled():
        for text in ("", "I do not know.", "#### ", "\\boxed{}"):
            verdict = task.judge(text, problem)
            _claim(not verdict.correct, f"{problem.id}: {text!r} is correct")
            _claim(verdict.reason not in (Reason.ERROR, Reason.TIMEOUT), f"{problem.id}: {text!r} is {verdict.reason}")
            seen += 1
    return f"{seen} responses without an answer are not correct, and none is an error"


def _prompts(subject: _Subject) -> str:
    task = subject.first
    styles = {subject.config.prompt}
    if task.examples:
        styles.add("few_shot")
    for problem in task.problems[:EPISODES]:
        for name in styles:
            text = render_prompt(task, problem, subject.tokenizer, name)
            _claim(problem.question in text, f"{problem.id}: prompt={name} does not hold the question as it is")
            _claim(len(subject.tokenizer.encode(text)) > 0, f"{problem.id}: prompt={name} is empty")
    template = " and the chat template keeps earlier turns" if subject.tokenizer.has_chat_template else ""
    return f"{' and '.join(sorted(styles))} show the question{template}"


def _gymnasium(subject: _Subject) -> str:
    for granularity in GRANULARITIES:
        spec = EnvSpec("reasonenv/Checked-v0", entry_point=partial(ReasoningEnv, subject.mdp, granularity))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(gymnasium.make(spec).unwrapped)
    return f"check_env has nothing to say at {len(GRANULARITIES)} granularities"


def _replays(subject: _Subject) -> str:
    for trajectory in subject.episodes:
        for granularity in GRANULARITIES:
            replay(trajectory, ReasoningEnv(subject.mdp, granularity))
    return f"{len(subject.episodes)} episodes have the same text, rewards, flags and verdict at every granularity"


CLAIMS: dict[str, Callable[[_Subject], str]] = {
    "ids are unique": _ids,
    "no question twice": _once,
    "one question, one answer": _one_answer,
    "splits are disjoint": _disjoint,
    "no near-duplicates": _not_alike,
    "the same seed, the same problem": _repeatable,
    "gold answers verify": _golds,
    "the same text, the same verdict": _settled,
    "altered answers do not": _altered,
    "no answer is not correct": _silence,
    "prompts": _prompts,
    "Gymnasium's own checker": _gymnasium,
    "granularity and replay": _replays,
}


def table(checks: Sequence[Check]) -> str:
    """The findings, one a line."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        mark = "note" if check.remark else "ok"
        if not check.holds:
            mark = "FAILED"
        lines.append(f"{mark:<6}  {check.name:<{width}}  {check.seen}")
    return "\n".join(lines)
