"""Rewards as functions of (state, next state), so that environments and trainers pay the same.

A reward is one or more named terms, whose values are listed in `info["reward_terms"]`. Names are joined by `+`
("dense+format"), callables stand in a list (`["sparse", my_process_reward]`), and a term named twice is paid once. A
name is looked for among the rewards of the task (`Task.rewards`), then in `REWARDS`; a function of your own is named by
`module:name` or `file.py:name` ("sparse+bonus.py:bonus"), and `user_functions` says what it may take. All terms fall on
events alone: the token that ends a step, and the one that ends the episode. What depends on the policy too, such as a
KL penalty, is no function of the states: see `wrappers.KLPenalty`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from inspect import signature
from types import MappingProxyType
from typing import Any

from reasonenv.core import Problem, Reason
from reasonenv.errors import UserError, unknown
from reasonenv.mdp.progress import Progress
from reasonenv.mdp.user_functions import UserFunction, is_users, name_of
from reasonenv.registry import Registry
from reasonenv.verify.extract import find_answer, step_value

STEP_SHARE = 0.5  # alpha: what all reference steps together are worth; the terminal reward is 1
FORMAT_SHARE = 0.1


Term = Callable[[Problem, Progress, Progress], float]


def at_end(term: Term) -> Term:
    """Marks a term that no unfinished step earns, and that reads the last state alone."""
    term.at_end = True  # type: ignore[attr-defined]
    return term


@at_end
def correct(problem: Problem, before: Progress, after: Progress) -> float:
    """1 for a response that ends with the correct answer, else 0 (2403.04642, sparse)."""
    return float(after.verdict is not None and after.verdict.correct)


def _values(problem: Problem, state: Progress) -> tuple[list[Fraction], list[Fraction]]:
    """The values of the reference steps, and those at the ends of the completed steps of the response."""
    completed = state.text.split("\n")
    if not state.over:
        completed.pop()
    return _step_values(problem.steps), _step_values(completed)


def _step_values(steps: Sequence[str]) -> list[Fraction]:
    return [value for value in map(step_value, steps) if value is not None]


def matched_share(problem: Problem, state: Progress) -> float:
    """The share of the reference steps whose value stands at the end of some completed step of the response, in [0, 1].

    Values are matched as a multiset and in any order: a value repeated is not matched twice. Without reference steps it
    is 0.
    """
    reference, reached = _values(problem, state)
    return (Counter(reference) & Counter(reached)).total() / max(1, len(reference))


def matched_in_order(problem: Problem, state: Progress) -> float:
    """As `matched_share`, but only for values in the order of the reference: their longest common subsequence."""
    reference, reached = _values(problem, state)
    longest = [0] * (len(reference) + 1)  # [i]: with the first i reference values
    for value in reached:
        shorter = longest.copy()
        for i, reference_value in enumerate(reference, start=1):
            longest[i] = max(shorter[i], longest[i - 1])
            if value == reference_value:
                longest[i] = shorter[i - 1] + 1
    return longest[-1] / max(1, len(reference))


def steps(problem: Problem, before: Progress, after: Progress) -> float:
    """`STEP_SHARE` spread over the reference steps as they are reached (2403.04642, dense).

    The paper's exact matcher is not public; this one is order-free and counts no value twice.
    """
    return STEP_SHARE * (matched_share(problem, after) - matched_share(problem, before))


def ordered_steps(problem: Problem, before: Progress, after: Progress) -> float:
    """`STEP_SHARE` spread over the reference steps as they are reached in the order of the reference."""
    return STEP_SHARE * (matched_in_order(problem, after) - matched_in_order(problem, before))


def shaping(problem: Problem, before: Progress, after: Progress) -> float:
    """Potential-based shaping F = Phi(s') - Phi(s) (Ng et al. 1999) with gamma 1.

    Phi is `STEP_SHARE` times the matched share and 0 where the episode is over, so shaping changes every return from
    one start by the same constant and no optimal policy.
    """
    phi = 0.0 if after.over else STEP_SHARE * matched_share(problem, after)
    return phi - STEP_SHARE * matched_share(problem, before)


@at_end
def marked(problem: Problem, before: Progress, after: Progress) -> float:
    """`FORMAT_SHARE` for a finished response that marks an answer (boxed, `####`, "the answer is"), right or wrong."""
    if after.verdict is None or after.verdict.reason is Reason.NO_ANSWER:
        return 0.0
    return FORMAT_SHARE * (find_answer(after.text, "marked") is not None)


def overlong_cost(length: int, *, limit: int) -> float:
    """The soft punishment of DAPO (2503.14476, eq. 13): 0 up to 4/5 of `limit` tokens, then down in a line to -1.

    The last fifth is the paper's cache: 4,096 of 20,480 tokens. Beyond the limit it stays -1.
    """
    cache = limit / 5
    return max(-1.0, min(0.0, (limit - cache - length) / cache))


@at_end
def overlong(problem: Problem, before: Progress, after: Progress) -> float:
    """`overlong_cost` of a finished response within its budget."""
    return overlong_cost(after.length, limit=after.budget) if after.over else 0.0


@at_end
def score(problem: Problem, before: Progress, after: Progress) -> float:
    """The score of a finished response: 1 if it is correct, else the partial credit that its verifier gives."""
    return 0.0 if after.verdict is None else after.verdict.score


def _check_reward(name: str, reward: Any) -> None:
    if not callable(reward) and not isinstance(reward, Mapping):
        raise UserError(f"reward {name!r} is {reward!r}; it must be a function that returns a number")


REWARDS = Registry[Term | Mapping[str, Term]](
    "reward",
    "reasonenv.rewards",
    {
        "sparse": correct,
        "score": score,
        "dense": {"correct": correct, "steps": steps},
        "ordered": {"correct": correct, "steps": ordered_steps},
        "potential": {"correct": correct, "shaping": shaping},
        "format": {"format": marked},
        "overlong": overlong,
    },
    _check_reward,
)

Reward = str | Callable[..., float] | Sequence[str | Callable[..., float]]
TaskRewards = Mapping[str, Callable[..., float]]


def register_reward(name: str, reward: str | Callable[..., float] | Mapping[str, Callable[..., float]]) -> None:
    """Makes `reward=<name>` of a function, of its `module:name`, or of several functions by the names of their terms.

    `reasonenv.mdp.user_functions` says what the parameters of a function may be.
    """
    REWARDS.register(name, reward)


def reward_terms(reward: Reward, of_task: TaskRewards = MappingProxyType({})) -> dict[str, Term]:
    """The terms of a reward by name; `of_task` are the task's own. A callable's name is its `__name__`, or its class's.

    Raises `UserError` for an unknown name, for what is neither name nor callable, and for two terms of one name.
    """
    terms: dict[str, Term] = {}
    for part in _parts(reward):
        for name, term in _named_terms(part, of_task).items():
            if terms.setdefault(name, term) != term:
                raise UserError(f"reward has two different terms called {name!r}; leave one out or rename it")
    if not terms:
        raise UserError(f"reward is {reward!r}; it must name at least one of {', '.join((*of_task, *REWARDS))}")
    return terms


def is_registered(reward: Reward) -> bool:
    """Whether no name in a reward can only be one of a task's own."""
    return all(not isinstance(part, str) or ":" in part or part in REWARDS for part in _parts(reward))


def _parts(reward: Reward) -> Sequence[str | Callable[..., float]]:
    if isinstance(reward, str):
        return reward.split("+")
    return [reward] if callable(reward) else reward


def _named_terms(part: str | Callable[..., float], of_task: TaskRewards) -> Mapping[str, Term]:
    if isinstance(part, str) and part in of_task:
        return {part: as_term("reward", part, of_task[part])}
    if isinstance(part, str):
        if ":" not in part and part not in REWARDS:
            raise unknown("reward", part, (*of_task, *REWARDS))
        registered = REWARDS.find(part)
        if isinstance(registered, Mapping):
            return {name: as_term("reward", name, term) for name, term in registered.items()}
        part = registered
    if not callable(part):
        raise UserError(f"reward holds {part!r}; it must be a name, a callable or a list of them")
    return {name_of(part): as_term("reward", name_of(part), part)}


def as_term(kind: str, name: str, function: Callable[..., float]) -> Term:
    """A function as a term: one of this package that takes what a term takes is one, any other is called by names."""
    if not is_users(function) and tuple(signature(function).parameters) == ("problem", "before", "after"):
        return function
    return UserFunction(kind, name, function)
