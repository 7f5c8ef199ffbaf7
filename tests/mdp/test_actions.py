"""Whatever is no action is an `InvalidAction` of one line that says what is, and leaves the episode as it was."""

from __future__ import annotations

from array import array
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.vector import BatchedReasoningEnv

NO_TOKEN = [
    "1+1=2",
    b"3",
    np.array([3]),
    [3],
    (3, 4),
    1.5,
    np.float32(3),
    float("nan"),
    None,
    {"a": 1},
    np.array(["3"]),
]
NO_SEQUENCE = ["1+1=2", b"12345678", bytearray(8), 3, np.array(3), [1.5], np.array([1.5]), None, ["a"], [None]]
NO_SEQUENCE += [{"a": 1}, [[1, 2]], np.array([[1, 2]]), np.array(["a"]), [10**30], Ellipsis]


@pytest.mark.parametrize("action", NO_TOKEN, ids=repr)
def test_what_is_no_token_is_refused(action: Any) -> None:
    env = ReasoningEnv(make_mdp("Chain", size=1), "token")
    env.reset()
    with pytest.raises(gymnasium.error.InvalidAction, match=r"one token id, and this is .*TextView\(env\) takes text$"):
        env.step(action)
    assert env.state.tokens == ()
    env.step(3)


@pytest.mark.parametrize("granularity", ["step", "response"])
@pytest.mark.parametrize("action", NO_SEQUENCE, ids=repr)
def test_what_is_no_sequence_of_tokens_is_refused(granularity: str, action: Any) -> None:
    env = ReasoningEnv(make_mdp("Chain", size=1), granularity)
    env.reset()
    with pytest.raises(gymnasium.error.InvalidAction, match=r"a sequence of token ids, and this is .*TextView"):
        env.step(action)
    assert env.state.tokens == ()
    batch = BatchedReasoningEnv(make_mdp("Chain", size=1), granularity, 2)
    batch.reset()
    with pytest.raises(gymnasium.error.InvalidAction, match="a sequence of token ids"):
        batch.step(([1, 2], action))


@pytest.mark.parametrize("actions", ["ab", ["1", "2"], [1.5, 2.0], [1], [1, 2, 3], [[1], [2]], None, 3], ids=repr)
def test_a_batch_of_tokens_is_one_integer_a_row(actions: Any) -> None:
    batch = BatchedReasoningEnv(make_mdp("Chain", size=1), "token", 2)
    batch.reset()
    with pytest.raises(gymnasium.error.InvalidAction, match="an array of 2 token ids, and this is"):
        batch.step(actions)


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int64, np.uint64])
def test_every_integer_type_is_taken(kind: Any) -> None:
    single, batch = ReasoningEnv(make_mdp("Chain", size=1), "token"), make_mdp("Chain", size=1)
    single.reset()
    for action in (kind(3), np.array(3, dtype=kind), torch.tensor(3), 3):
        single.step(action)
    assert single.state.tokens == (3, 3, 3, 3)
    rows = BatchedReasoningEnv(batch, "token", 2)
    rows.reset()
    observation, *_ = rows.step(np.array([3, 4], dtype=kind))
    begin = len(batch.prompts[0])
    assert observation["tokens"][:, begin].tolist() == [3, 4]
    steps = ReasoningEnv(batch, "step")
    for action in (np.array([3, 4], dtype=kind), torch.tensor([3, 4]), [kind(3), 4], (3, 4), array("q", [3, 4])):
        steps.reset()
        steps.step(action)
        assert steps.state.tokens == (3, 4)
