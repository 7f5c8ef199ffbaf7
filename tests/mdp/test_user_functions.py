"""Rewards and metrics of a user's own: called by the names of their parameters, and stopped, named or refused."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reasonenv import from_problems
from reasonenv.core import Completion, Problem, Trajectory
from reasonenv.errors import UserError
from reasonenv.mdp import user_functions
from reasonenv.mdp.config import EnvConfig
from reasonenv.mdp.make import make_env, make_vector_env
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.user_functions import OutOfTime, UserFunction, time_limit
from reasonenv.tokenizer import byte_tokenizer

ROWS = [{"question": f"{n} + 1?", "answer": n + 1, "difficulty": 0.25 * n, "topic": "sums"} for n in range(1, 4)]


def process(reward: Any = "sparse", max_tokens: int = 32, **changes: Any) -> ReasoningMDP:
    task = replace(from_problems(ROWS, test=0.3)(), **changes)
    return ReasoningMDP(task, byte_tokenizer(), EnvConfig(reward=reward, max_tokens=max_tokens))


def episode(mdp: ReasoningMDP, text: str) -> Trajectory:
    tokens = np.array([*mdp.tokenizer.encode(text), mdp.tokenizer.eos_id][: mdp.max_tokens])
    stop: Any = "eos" if tokens[-1] == mdp.tokenizer.eos_id else "length"
    return mdp.trajectory(0, Completion.unsampled(tokens, stop))


def test_a_reward_gets_what_its_parameters_name() -> None:
    seen: list[Any] = []

    def everything(text, question, answer, steps, problem, verdict, after, difficulty, topic, unit="none", **rest):  # type: ignore[no-untyped-def]
        seen.append((text, question, answer, steps, verdict.correct, after.length, difficulty, topic, unit, rest))
        return difficulty if problem.meta["topic"] == topic else 0.0

    mdp = process(everything)
    problem = mdp.problems[0]
    answer = f"#### {problem.answer}"
    paid = episode(mdp, answer)
    difficulty = problem.meta["difficulty"]
    assert (paid.ret, paid.rewards[-1]) == (difficulty, difficulty)  # at the end, without a mark that says so
    assert not mdp.pays_steps
    expected = (answer, problem.question, problem.answer, (), True, len(answer) + 1, difficulty, "sums", "none", {})
    assert seen == [expected]


def test_only_who_names_the_state_before_is_asked_at_every_step() -> None:
    calls: list[tuple[str, str]] = []

    def growth(before, after):  # type: ignore[no-untyped-def]
        calls.append((before.text, after.text))
        return len(after.text) - len(before.text)

    mdp = process(growth)
    assert mdp.pays_steps
    # at the ends of two lines and at EOS, each time as much as was written since the token before
    assert episode(mdp, "a\nbb\n").ret == 2.0
    assert calls == [("a", "a\n"), ("a\nbb", "a\nbb\n"), ("a\nbb\n", "a\nbb\n")]


def test_a_response_that_ended_is_told_from_one_that_was_cut() -> None:
    def ended(after):  # type: ignore[no-untyped-def]
        assert after.over == (after.terminated or after.truncated)
        return after.terminated - 2 * after.truncated

    mdp = process(ended, max_tokens=8)
    assert [episode(mdp, text).ret for text in ("short", "longer than eight")] == [1.0, -2.0]
    envs = make_vector_env(lambda split="train": mdp.task, "response", num_envs=2, reward=ended, max_tokens=8)
    envs.reset(seed=0)
    actions = [mdp.tokenizer.encode(text) for text in ("short", "longer than eight")]
    assert envs.step(actions)[1].tolist() == [1.0, -2.0]


def test_rewards_of_a_task_come_before_those_of_the_registry_and_are_of_that_task_alone() -> None:
    own = {"sparse": lambda text: 0.5, "brief": lambda after: after.length < 4}
    mdp = process("sparse+brief+format", rewards=own)
    assert mdp.take(mdp.initial(0), [65, mdp.end_id]).terms == {"sparse": 0.5, "brief": 1.0, "format": 0.0}
    with pytest.raises(UserError, match="unknown reward 'brif'; did you mean brief"):
        process("brif", rewards=own)
    with pytest.raises(UserError, match="unknown reward 'brief'"):
        process("brief")
    for rewards in ({"a+b": len}, {"": len}, {"brief": 0.5}):
        with pytest.raises(UserError, match=r"has the reward .*; it must be a function with a name"):
            process(rewards=rewards)


def test_what_a_task_measures_stands_in_the_trajectory() -> None:
    measured = {"brevity": lambda after: 1 - after.length / after.budget, "marked": lambda text: "####" in text}
    mdp = process(metrics=measured)
    assert episode(mdp, "#### 2").metrics == {"brevity": 1 - 7 / 32, "marked": 1.0}
    with pytest.raises(UserError, match=r"metric 'length' returned 7.0 on Own/.*; it must be in \[0, 1\]"):
        episode(process(metrics={"length": lambda after: after.length}), "#### 2")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda completions: 1.0,
            r"takes 'completions', which Own/\d has not; its parameters may be text, problem, .* or",
        ),
        (lambda difficlty: 1.0, r"or a column of the problem \(difficulty, topic\)"),
        (len, r"reward 'len' has a parameter 'obj' that takes no name"),
    ],
)
def test_a_parameter_that_is_nothing_is_named_before_anything_runs(function: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        process(function)


def test_how_a_column_is_read_whose_name_is_no_parameter() -> None:
    problem = Problem("p", "1 + 1?", "2", meta={"school year": 3})
    with pytest.raises(
        UserError, match=r"\(school year\); a name that is no parameter .* problem.meta\['school year'\]"
    ):
        UserFunction("reward", "level", lambda school_year: school_year).check(problem)


@pytest.mark.parametrize("returned", ["good", "1", None, [1.0], 1j, {"a": 1}], ids=repr)
def test_what_is_no_number_is_named(returned: Any) -> None:
    def odd(text: str) -> Any:
        return returned

    with pytest.raises(UserError, match=r"^reward 'odd' returned .* on Own/\d; it must return a number$"):
        episode(process(odd), "2")


def test_a_number_beyond_floats_is_named() -> None:
    with pytest.raises(UserError, match=r"^reward '<lambda>' returned int out of range on Own/\d$"):
        episode(process(lambda text: 10**400), "2")


@pytest.mark.parametrize("returned", [1, True, np.float32(1), np.array(1.0), np.True_], ids=repr)
def test_every_kind_of_number_is_one(returned: Any) -> None:
    assert episode(process(lambda text: returned), "2").ret == 1.0


def test_nan_warns_once_and_is_passed_on() -> None:
    mdp = process(lambda text: float("nan"))
    with pytest.warns(UserWarning, match=r"reward '<lambda>' is nan on Own/") as warned:
        returns = [episode(mdp, text).ret for text in ("1", "2")]
    assert np.isnan(returns).all()
    assert len(warned) == 1


def wait(text: str) -> float:
    time.sleep(60)
    return 0.0


def spin(text: str) -> float:
    while True:
        with suppress(Exception):  # does not keep it alive
            text.count("a")


@pytest.mark.parametrize("function", [wait, spin])
def test_a_reward_without_end_is_named(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_functions, "SECONDS", 0.2)
    env = make_env(from_problems(ROWS, test=0.3), "response", reward=function)
    env.reset(options={"problem": 0})
    with pytest.raises(
        UserError, match=rf"^reward '{function.__name__}' took more than 0.2 seconds on Own/\d; make it"
    ):
        env.step([65])


def test_an_alarm_of_somebody_else_still_rings() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with time_limit(30):
            pass
        deadline = time.monotonic() + 30
        while not rung and time.monotonic() < deadline:
            time.sleep(0.01)
        assert rung == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_in_another_thread_nothing_is_limited_and_nothing_fails() -> None:
    results: list[float] = []
    mdp = process(lambda text: 0.5)
    thread = threading.Thread(target=lambda: results.append(episode(mdp, "1").ret))
    thread.start()
    thread.join()
    assert results == [0.5]
    assert not issubclass(OutOfTime, Exception)


def test_one_reward_named_twice_is_paid_once() -> None:
    def once(text: str) -> float:
        return 1.0

    assert episode(process([once, once]), "1").ret == 1.0
