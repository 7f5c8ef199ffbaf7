"""What Gymnasium asks of its own environments holds for ours, by their ids and through its own functions."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence

import reasonenv
from reasonenv.catalog import TASKS, task_settings
from reasonenv.mdp.wrappers import ActionMask, OneHotView, RecordTrajectories, TextView

NEED_NO_DATA = ("Chain", "Code", "Countdown", *(["RG-leg_counting"] if "RG-leg_counting" in TASKS else []))
NEED_DATA = ("GSM8K", "SVAMP")
KINDS = ("Token", "Step", "Response")
IDS = [f"reasonenv/{task}-{kind}-v0" for task in (*NEED_NO_DATA, *NEED_DATA) for kind in KINDS]
EACH_ID = pytest.mark.parametrize("env_id", IDS)
STEPS = 30


@pytest.fixture(autouse=True)
def _data(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published data, for the ids that need them."""
    if any(f"/{task}-" in request.node.name for task in NEED_DATA):
        monkeypatch.setenv("REASONENV_DATA", str(request.getfixturevalue("data_folder")))


@cache
def knobs(env_id: str) -> dict[str, Any]:
    """What keeps an environment small; nothing in data that a person has."""
    task = env_id.removeprefix("reasonenv/").rpartition("-v0")[0].rpartition("-")[0]
    return {"size": 20, "max_tokens": 12} if "size" in task_settings(task) else {"max_tokens": 12}


def make(env_id: str, **keys: Any) -> Any:
    return gymnasium.make(env_id, **knobs(env_id), **keys)


def steps(env: Any, count: int) -> Iterator[tuple[Any, ...]]:
    """Steps of random actions, and a reset where an episode is over: what each returns."""
    for _ in range(count):
        outcome = env.step(env.action_space.sample())
        yield outcome
        if outcome[2] or outcome[3]:
            yield env.reset()


def equal(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two outcomes of `reset` or `step` are the same, but for the time that a verdict took."""
    return data_equivalence(one[0], other[0]) and one[1:] == other[1:]


@EACH_ID
def test_the_checker_finds_nothing_to_say_and_looks_at_everything(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(env_id).unwrapped, skip_render_check=False)


@EACH_ID
def test_a_spec_makes_the_same_environment_also_from_json(env_id: str) -> None:
    env = make(env_id, reward="dense")
    assert env.spec.kwargs["max_tokens"] == 12
    for spec in (env.spec, EnvSpec.from_json(env.spec.to_json())):
        assert spec == env.spec
        twin = gymnasium.make(spec)
        assert twin.spec == env.spec
        assert equal(twin.reset(seed=4), env.reset(seed=4))
        assert twin.unwrapped.mdp.max_tokens == 12
    assert env_id in env.spec.pprint(disable_print=True)


@EACH_ID
def test_seeds_decide_everything(env_id: str) -> None:
    one, two = make(env_id), make(env_id)
    for seed in (7, 8):
        for env in (one, two):
            env.action_space.seed(seed)
        assert equal(one.reset(seed=seed), two.reset(seed=seed))
        for ours, theirs in zip(steps(one, STEPS), steps(two, STEPS), strict=True):
            assert equal(ours, theirs)
    assert one.reset(seed=1)[1] == one.reset(seed=1)[1]
    questions = {one.reset(seed=seed)[1]["question"] for seed in range(8)}
    assert len(questions) > 1


@EACH_ID
@pytest.mark.parametrize("clone", [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy], ids=["pickle", "copy"])
def test_a_copy_in_the_middle_of_an_episode_goes_on_as_the_original(env_id: str, clone: Callable[[Any], Any]) -> None:
    env = make(env_id, reward="dense")
    env.reset(seed=3)
    if not env_id.endswith("Response-v0"):
        env.step(env.unwrapped.mdp.tokenizer.encode("1")[0] if "Token" in env_id else [20, 30])
    env.action_space.seed(0)
    twin = clone(env)
    assert twin.spec == env.spec
    for ours, theirs in zip(steps(env, STEPS), steps(twin, STEPS), strict=True):
        assert equal(ours, theirs)


def test_a_pickle_goes_on_in_another_process(tmp_path: Path) -> None:
    env = make("reasonenv/Countdown-Token-v0")
    env.reset(seed=3)
    env.step(20)
    (tmp_path / "env.pickle").write_bytes(pickle.dumps(env))
    code = "import pickle; env = pickle.load(open('env.pickle', 'rb')); print(env.step(30)[0]['tokens'].tolist())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(env.step(30)[0]["tokens"].tolist())


@EACH_ID
def test_the_text_of_an_episode_is_rendered_frame_by_frame_or_as_a_list(env_id: str) -> None:
    assert make(env_id).metadata["render_modes"] == ["ansi", "rgb_array"]
    env, collected = (make(env_id, render_mode=mode) for mode in ("ansi", "ansi_list"))
    for each in (env, collected):
        each.action_space.seed(0)
        each.reset(seed=0)
    shown = [env.render()]
    for _ in range(3):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        collected.step(collected.action_space.sample())
        shown.append(env.render())
        if terminated or truncated:
            break
    assert collected.render() == shown
    assert all(isinstance(text, str) for text in shown)


def test_a_picture_shows_the_text_and_is_always_of_one_size() -> None:
    env = make("reasonenv/Chain-Response-v0", render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    env.step(env.unwrapped.mdp.tokenizer.encode("12345\n" * 3))
    last = env.render()
    assert first.shape == last.shape
    assert first.dtype == np.uint8
    assert first.shape[2] == 3
    dark = [(frame < 128).sum() for frame in (first, last)]
    assert 0 < dark[0] < dark[1]  # more letters, more ink


@pytest.mark.parametrize("mode", ["depth_array", "nonsense"])
@pytest.mark.filterwarnings("ignore:.*not in the possible render_modes")  # Gymnasium says so too
def test_other_render_modes_are_refused(mode: str) -> None:
    with pytest.raises(reasonenv.UserError, match=f"unknown render_mode '{mode}'; .*rgb_array"):
        make(IDS[0], render_mode=mode)


def test_rendering_without_a_mode_shows_nothing_and_says_what_to_do() -> None:
    env = make(IDS[0]).unwrapped
    env.reset(seed=0)
    with pytest.warns(UserWarning, match='make it with render_mode="ansi"'):
        assert env.render() is None


@EACH_ID
def test_options_of_reset_choose_the_start_and_leave_the_generator_alone(env_id: str) -> None:
    env = make(env_id)
    mdp = env.unwrapped.mdp
    prefix = mdp.tokenizer.encode("ab")
    observation, info = env.reset(seed=5, options={"problem": 3, "prefix": prefix})
    assert (info["problem_id"], info["response"]) == (mdp.problems[3].id, "ab")
    assert observation["tokens"][: observation["length"]].tolist() == [*mdp.prompts[3], *prefix]
    twin = make(env_id)
    twin.reset(seed=5, options={"problem": 0})
    assert equal(env.reset(), twin.reset())
    with pytest.raises(reasonenv.UserError, match="did you mean problem"):
        env.reset(options={"problems": 3})


@EACH_ID
@pytest.mark.parametrize("kind", ["vector_entry_point", "sync"])
def test_vectors_of_equal_seeds_are_equal(env_id: str, kind: str) -> None:
    seen = []
    for _ in range(2):
        envs = gymnasium.make_vec(env_id, num_envs=3, vectorization_mode=kind, **knobs(env_id))
        envs.action_space.seed(1)
        observation, infos = envs.reset(seed=2)
        outcomes = [observation["tokens"].tolist(), infos["problem_id"].tolist()]
        for _ in range(6):
            observation, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
            assert observation in envs.observation_space
            arrays = (observation["tokens"], observation["length"], rewards, terminated, truncated)
            outcomes += [array.tolist() for array in arrays] + [infos["problem_id"].tolist()]
        seen.append(outcomes)
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "wrap",
    [TextView, OneHotView, lambda env: ActionMask(env, alphabet="0123456789"), lambda env: OneHotView(ActionMask(env))],
    ids=["text", "one-hot", "mask", "both"],
)
def test_a_spec_brings_our_wrappers_back(wrap: Any) -> None:
    env = wrap(make("reasonenv/Chain-Token-v0"))
    spec = EnvSpec.from_json(env.spec.to_json())
    twin = gymnasium.make(spec)
    assert type(twin) is type(env)
    assert twin.spec == env.spec
    assert data_equivalence(twin.reset(seed=1), env.reset(seed=1))


def test_a_spec_of_a_recorder_says_where_it_writes(tmp_path: Path) -> None:
    env = RecordTrajectories(make("reasonenv/Chain-Token-v0"), tmp_path / "episodes.jsonl")
    (wrapper,) = EnvSpec.from_json(env.spec.to_json()).additional_wrappers
    assert wrapper.kwargs == {"path": str(tmp_path / "episodes.jsonl")}
    env.close()


def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(gymnasium.error.NameNotFound, match="Did you mean: `Chain-Token`"):
        gymnasium.make("reasonenv/Chian-Token-v0")


@EACH_ID
def test_random_rollouts_stay_in_their_space(env_id: str) -> None:
    env = make(env_id)
    env.action_space.seed(1)
    env.reset(seed=0)
    assert [outcome[0] for outcome in steps(env, STEPS) if outcome[0] not in env.observation_space] == []
