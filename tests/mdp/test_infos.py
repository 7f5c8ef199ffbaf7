"""Batched infos hold what Gymnasium's own vector of single environments holds, and a step pays for no text unread."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList

from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.infos import StepInfos
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.vector import BatchedReasoningEnv
from reasonenv.tokenizer import byte_tokenizer

ROWS, STEPS = 4, 40
MODES = list(AutoresetMode)


class Scripted(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Begins the episodes of a list, one after the other: problem and noise of each."""

    def __init__(self, env: ReasoningEnv, episodes: list[tuple[int, int]]) -> None:
        super().__init__(env)
        self._episodes = iter(episodes)

    def reset(self, **_: Any) -> Any:
        problem, noise = next(self._episodes)
        return self.env.reset(options={"problem": problem, "noise": noise})


def actions(mdp: ReasoningMDP, granularity: str) -> list[Any]:
    """Digits, line breaks and ends, and now and then the solution."""
    draw = np.random.default_rng(0)
    tokens = [*mdp.tokenizer.encode("1+2=3"), *mdp.tokenizer.encode("\n"), mdp.tokenizer.eos_id]
    if granularity == "token":
        return [draw.choice(tokens, size=ROWS) for _ in range(STEPS)]
    steps = []
    for _ in range(STEPS):
        steps.append(tuple(draw.choice(tokens, size=draw.integers(1, 5)) for _ in range(ROWS)))
    return steps


def played(envs: Any, steps: list[Any]) -> Iterator[tuple[Any, ...]]:
    """What reset and step return; rows that are over are reset where nobody else does it."""
    yield envs.reset(seed=5)
    for action in steps:
        outcome = envs.step(action)
        yield outcome
        over = outcome[2] | outcome[3]
        if envs.metadata["autoreset_mode"] == AutoresetMode.DISABLED and over.any():
            yield envs.reset(options={"reset_mask": over})


def begun(seen: list[tuple[Any, ...]], mode: AutoresetMode, row: int) -> list[dict[str, Any]]:
    """The infos with which the episodes of a row begin."""
    first = [seen[0][-1]]
    for before, now in pairwise(seen):
        over = len(before) == 5 and (before[2] | before[3])[row]
        ends = len(now) == 5 and (now[2] | now[3])[row]
        if {AutoresetMode.SAME_STEP: ends, AutoresetMode.NEXT_STEP: over, AutoresetMode.DISABLED: over}[mode]:
            first.append(now[-1])
    return first


def same(ours: Any, theirs: Any, path: str = "infos") -> None:
    """Raises `AssertionError` for the first difference: keys, masks, and values where a row has one."""
    assert set(ours) == set(theirs), path
    for key in (key for key in theirs if f"_{key}" in theirs):
        mask = theirs[f"_{key}"]
        assert ours[f"_{key}"].tolist() == mask.tolist(), f"{path}[_{key}]"
        if isinstance(theirs[key], dict):
            same(ours[key], theirs[key], f"{path}[{key}]")
            continue
        for row in np.flatnonzero(mask):
            one, other = ours[key][row], theirs[key][row]
            if isinstance(other, dict):
                assert one["tokens"].tolist() == other["tokens"].tolist()
                assert one["length"] == other["length"]
            else:
                assert one == other, f"{path}[{key}][{row}]"


@pytest.mark.parametrize("granularity", ["token", "step", "response"])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize(
    "keys",
    [{}, {"reward": "dense+format"}, {"stochastic": "sticky:0.3"}, {"stochastic": "hint:0.5", "reward": "dense"}],
    ids=str,
)
@pytest.mark.parametrize("live", [False, True], ids=["copied", "live"])
def test_batched_infos_are_those_of_single_environments(
    granularity: str, mode: AutoresetMode, keys: dict[str, Any], live: bool
) -> None:
    mdp = make_mdp("Chain", size=6, max_tokens=24, **keys)
    steps, numbers = actions(mdp, granularity), {p.id: i for i, p in enumerate(mdp.problems)}
    batched = BatchedReasoningEnv(mdp, granularity, ROWS, autoreset_mode=mode, copy=not live)
    seen = list(played(batched, steps))
    if live:  # is to be read before the next step
        seen = [(*outcome[:-1], dict(outcome[-1])) for outcome in played(batched, steps)]
    scripts = []
    for row in range(ROWS):
        first = begun(seen, mode, row)
        noises = [int(info["noise"][row]) if mdp.stochastic else 0 for info in first]
        scripts.append([(numbers[info["problem_id"][row]], n) for info, n in zip(first, noises, strict=True)])
    assert max(map(len, scripts)) > 2

    def single(row: int) -> Any:
        return Scripted(ReasoningEnv(mdp, granularity), [*scripts[row], (0, 0)])

    vector = SyncVectorEnv([lambda row=row: single(row) for row in range(ROWS)], autoreset_mode=mode)
    expected = list(played(vector, steps))
    assert len(expected) == len(seen)
    for ours, theirs in zip(seen, expected, strict=True):
        same(ours[-1], theirs[-1])


def counted(envs: BatchedReasoningEnv) -> list[int]:
    """How many texts each decoding has decoded, from here on."""
    counts: list[int] = []
    decode_all = envs.mdp.tokenizer.decode_all

    def counting(rows: Any) -> list[str]:
        counts.append(len(rows))
        return decode_all(rows)

    envs.mdp.tokenizer.decode_all = counting  # type: ignore[method-assign]
    return counts


@pytest.fixture
def step() -> tuple[StepInfos, list[int]]:
    """The infos of a step in which nothing ends, and a count of what was decoded for them."""
    envs = BatchedReasoningEnv(make_mdp("Chain", size=6, tokenizer=byte_tokenizer()), "token", ROWS)
    envs.reset(seed=0)
    counts = counted(envs)
    *_, infos = envs.step(envs.mdp.tokenizer.encode("1234"))
    assert isinstance(infos, StepInfos)
    return infos, counts


def test_nothing_is_decoded_before_somebody_looks(step: tuple[StepInfos, list[int]]) -> None:
    infos, counts = step
    assert "episode" not in infos
    assert infos["question"][0].endswith("=?")
    assert infos.get("nothing") is None
    assert "response" in infos
    with pytest.raises(KeyError, match="nothing"):
        infos["nothing"]
    assert counts == []
    assert [infos["response"].tolist(), infos["response"].tolist()] == [["1", "2", "3", "4"]] * 2
    assert counts == [ROWS]


KEYS = {"problem_id", "question", "response", "reward_terms"}
LOOKS = {
    "dict": dict,
    "unpacked": lambda infos: {**infos},
    "joined": lambda infos: infos | {},
    "joined to": lambda infos: {} | infos,
    "copy": lambda infos: infos.copy(),
    "items": lambda infos: dict(infos.items()),
    "keys and values": lambda infos: dict(zip(infos.keys(), infos.values(), strict=True)),
    "iterated": lambda infos: {key: infos[key] for key in infos},
    "deepcopy": copy.deepcopy,
    "pickle": lambda infos: pickle.loads(pickle.dumps(infos)),
    "update": lambda infos: dict[str, Any]() | dict(infos),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_whoever_looks_at_all_keys_finds_them(step: tuple[StepInfos, list[int]], look: Any) -> None:
    infos, _ = step
    looked = look(infos)
    assert type(looked) is dict
    assert set(looked) == KEYS | {f"_{key}" for key in KEYS}
    assert looked["response"].tolist() == ["1", "2", "3", "4"]
    assert len(infos) == len(looked)
    assert "'4'" in repr(infos)


def test_what_a_wrapper_sets_stays_and_what_it_takes_is_gone(step: tuple[StepInfos, list[int]]) -> None:
    infos, counts = step
    infos["question"], infos["response"], infos["more"] = "other", "too", 1
    assert (infos["question"], infos["response"], dict(infos)["more"]) == ("other", "too", 1)
    assert infos.setdefault("problem_id", 0) is infos["problem_id"]
    assert infos.pop("question") == "other"
    assert "question" not in infos
    assert counts == []


def test_responses_may_be_taken_out(step: tuple[StepInfos, list[int]]) -> None:
    infos, _ = step
    assert infos.pop("response").tolist() == ["1", "2", "3", "4"]
    assert "response" not in infos
    assert "response" not in dict(infos)


def test_a_step_is_told_as_it_was_when_others_have_followed() -> None:
    envs = BatchedReasoningEnv(make_mdp("Chain", size=6), "token", 2, autoreset_mode=AutoresetMode.SAME_STEP)
    envs.reset(seed=0)
    one, end = envs.mdp.tokenizer.encode("1")[0], envs.mdp.tokenizer.eos_id
    *_, before = envs.step([one, one])
    *_, after = envs.step([end, one])
    envs.step([one, one])
    assert before["response"].tolist() == ["1", "1"]
    assert (after["response"].tolist(), after["final_info"]["response"].tolist()) == (["", "11"], ["1", None])
    assert before["problem_id"][1] == after["problem_id"][1]


def test_stock_wrappers_of_infos_see_the_responses() -> None:
    envs = DictInfoToList(gymnasium.make_vec("reasonenv/Chain-Step-v0", num_envs=2, size=4))
    envs.reset(seed=0)
    *_, infos = envs.step([envs.unwrapped.mdp.tokenizer.encode(text) for text in ("1\n", "2+2=4\n")])
    assert [info["response"] for info in infos] == ["1\n", "2+2=4\n"]
