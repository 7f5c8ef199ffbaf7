"""Problems, tasks, processes and environments can be pickled and copied, and the copies go on as the originals do."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

import reasonenv
from reasonenv.catalog import make_task
from reasonenv.core import Problem
from reasonenv.envs.chain import chain
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.wrappers import OneHotView, TextView


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


COPIES = pytest.mark.parametrize("clone", [pickled, copy.deepcopy])
Clone = Callable[[Any], Any]


@COPIES
@pytest.mark.parametrize("meta", [None, {"a": (1, 2)}, MappingProxyType({"a": 1})])
def test_a_problem_is_equal_to_its_copy(clone: Clone, meta: Any) -> None:
    problem = Problem("p", "1+1=?", "2", ("1+1=2",)) if meta is None else Problem("p", "?", "2", (), meta)
    assert clone(problem) == problem


@COPIES
def test_a_task_made_by_name_is_equal_to_its_copy_and_a_changed_one_is_not_taken_for_it(clone: Clone) -> None:
    task = make_task("Chain", size=5, operands=3, seed=7)
    assert clone(task).fingerprint == task.fingerprint
    turned = replace(task, problems=tuple(task.problems)[::-1], verify=len)  # of parts that can be pickled
    assert [p.id for p in clone(turned).problems] == [p.id for p in turned.problems] != [p.id for p in task.problems]
    assert clone(turned).verify is len


@COPIES
@pytest.mark.parametrize(
    "keys", [{}, {"stochastic": "sticky:0.3"}, {"replies": "retry:2"}, {"tools": "calculator"}], ids=str
)
def test_a_process_judges_and_pays_as_its_copy(clone: Clone, keys: dict[str, str]) -> None:
    mdp = make_mdp("Chain", size=4, reward="dense", **keys)
    twin = clone(mdp)
    tokens = mdp.demonstration(2).tokens.tolist()
    one, other = (process.take(process.initial(2, noise=5), tokens) for process in (mdp, twin))
    assert (one.state.tokens, one.terms, one.verdict) == (other.state.tokens, other.terms, other.verdict)


def actions(env: Any, seed: int) -> list[Any]:
    """Five actions, one of which ends a line."""
    draw = np.random.default_rng(seed)
    return [*(draw.integers(ord("0"), ord("9"), 4).tolist()), ord("\n")]


@COPIES
@pytest.mark.parametrize("keys", [{}, {"stochastic": "sticky:0.5"}, {"reward": "dense"}], ids=str)
@pytest.mark.parametrize("wrap", [lambda env: env, OneHotView], ids=["plain", "one-hot"])
def test_an_environment_goes_on_as_its_copy(clone: Clone, keys: dict[str, Any], wrap: Any) -> None:
    env = wrap(gymnasium.make("reasonenv/Chain-Token-v0", size=8, **keys))
    env.reset(seed=3)
    for token in actions(env, 0):
        env.step(token)
    twin = clone(env)
    for token in actions(env, 1):
        (seen, *rest), (copied, *others) = env.step(token), twin.step(token)
        assert data_equivalence(seen, copied)
        assert rest == others
    # the next episode, which the generator of the environment draws, is the same too
    assert env.reset()[1] == twin.reset()[1]


@COPIES
def test_a_text_view_goes_on_as_its_copy(clone: Clone) -> None:
    env = TextView(ReasoningEnv(make_mdp("Chain", size=8), "response"))
    env.reset(seed=3)
    twin = clone(env)
    assert env.step("12+3=15\n#### 15") == twin.step("12+3=15\n#### 15")


@COPIES
@pytest.mark.parametrize("keys", [{}, {"stochastic": "sticky:0.5"}], ids=str)
def test_a_vector_environment_goes_on_as_its_copy_and_apart_from_it(clone: Clone, keys: dict[str, Any]) -> None:
    envs = gymnasium.make_vec("reasonenv/Chain-Token-v0", num_envs=3, size=8, **keys)
    envs.reset(seed=3)
    for token in actions(envs, 0):
        envs.step(np.full(3, token))
    twin, third = clone(envs), clone(envs)
    third.step(np.full(3, ord("+")))  # is felt by no other
    for token in (*actions(envs, 1), envs.unwrapped.mdp.tokenizer.eos_id, 0, 0):
        one, other = envs.step(np.full(3, token)), twin.step(np.full(3, token))
        assert np.array_equal(one[0]["tokens"], other[0]["tokens"])
        assert all(np.array_equal(a, b) for a, b in zip(one[1:4], other[1:4], strict=True))


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("granularity", ["Token", "Response"])
def test_gymnasiums_own_vector_environments_take_our_ids(mode: str, granularity: str) -> None:
    assert reasonenv.__version__  # registers the ids
    envs = gymnasium.make_vec(f"reasonenv/Chain-{granularity}-v0", num_envs=2, vectorization_mode=mode, size=8)
    try:
        single = gymnasium.make(f"reasonenv/Chain-{granularity}-v0", size=8)
        seen, _ = envs.reset(seed=[5, 6])
        expected, _ = single.reset(seed=6)
        assert np.array_equal(seen["tokens"][1], expected["tokens"])
        action: Any = np.array([ord("7")] * 2) if granularity == "Token" else ((np.array([55, 10]),) * 2)
        seen, rewards, terminated, *_ = envs.step(action)
        expected, reward, ended, *_ = single.step(action[1])
        assert np.array_equal(seen["tokens"][1], expected["tokens"])
        assert (rewards[1], terminated[1]) == (reward, ended)
    finally:
        envs.close()


def test_a_task_of_a_users_own_factory_is_copied_by_the_factory() -> None:
    task = make_task(chain, size=3)
    assert pickled(task).fingerprint == task.fingerprint
