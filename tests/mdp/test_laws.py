"""The laws of every environment. A new task is held to them by being registered, whoever registered it.

Published sets that are not here are made up, a few problems in their form; `size` or `limit` keeps large ones small.
"""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reasonenv
from reasonenv.catalog import make_task, task_settings
from reasonenv.core import Completion, Problem, Trajectory, Verdict
from reasonenv.mdp.config import EnvConfig
from reasonenv.mdp.env import GRANULARITIES, ReasoningEnv
from reasonenv.mdp.make import make_mdp, resolve_tokenizer
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.vector import BatchedReasoningEnv
from reasonenv.tasks import Task, reference_solution

# Of the 100+ generators of reasoning-gym, which differ in their problems alone, one of numbers and one of words.
RG = ("RG-chain_sum", "RG-leg_counting")
SPECS = {
    id: spec
    for id, spec in gymnasium.registry.items()
    if spec.namespace == "reasonenv" and (not spec.kwargs["task"].startswith("RG-") or spec.kwargs["task"] in RG)
}
TASKS = sorted({spec.kwargs["task"] for spec in SPECS.values()})
REWARDS = st.sampled_from(["sparse", "dense", "ordered", "potential", "dense+format+overlong"])
SIZE = 24


def knobs(task: str) -> dict[str, int]:
    """What keeps a task small."""
    return {key: SIZE for key in ("size", "limit") if key in task_settings(task)}


@pytest.fixture(scope="module", autouse=True)
def _data(every_set: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REASONENV_DATA", str(every_set))
        yield


@cache
def task_of(name: str) -> Task:
    """A task that judges a text once: these laws are about what becomes of a verdict, and a program takes its time."""
    task = make_task(name, **knobs(name))
    verdicts: dict[tuple[str, str], Verdict] = {}

    def verify(text: str, problem: Problem) -> Verdict:
        said = text, problem.id
        if said not in verdicts:
            verdicts[said] = task.verify(text, problem)
        return verdicts[said]

    return replace(task, verify=verify)


@cache
def mdp_of(task: str, reward: str = "dense") -> ReasoningMDP:
    """The process of a task, made once for all laws."""
    return ReasoningMDP(task_of(task), resolve_tokenizer(None), EnvConfig(reward=reward))


@pytest.mark.parametrize("env_id", SPECS)
def test_gymnasium_finds_nothing_to_say(env_id: str) -> None:
    task, granularity = SPECS[env_id].kwargs["task"], SPECS[env_id].kwargs["granularity"]
    env = ReasoningEnv(mdp_of(task), granularity, render_mode="ansi")
    env.spec = SPECS[env_id]
    read_again = task != "Chain"  # these checks make the environment anew by its name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=read_again, skip_close_check=read_again)
    assert isinstance(env.render(), str)


def response(mdp: ReasoningMDP, index: int, kind: str, cut: float, noise: str) -> list[int]:
    """Tokens of a finished episode: the reference solution, cut or followed by noise or repeated without end."""
    gold, eos = mdp.tokenizer.encode(reference_solution(mdp.problems[index])), mdp.tokenizer.eos_id
    if kind == "endless":
        return (gold * mdp.max_tokens)[: mdp.max_tokens]
    body = {"gold": gold, "cut": gold[: int(cut * len(gold))], "noise": [*gold[:20], *mdp.tokenizer.encode(noise)]}[
        kind
    ]
    return [*body[: mdp.max_tokens - 1], eos]


RESPONSES = st.tuples(
    st.sampled_from(["gold", "cut", "noise", "endless"]),
    st.floats(0, 1, exclude_max=True),
    st.text(st.sampled_from("0123456789+-=\n# é"), max_size=30),
)


def as_trajectory(mdp: ReasoningMDP, index: int, tokens: list[int]) -> Trajectory:
    stop = "eos" if tokens[-1] == mdp.tokenizer.eos_id else "length"
    return mdp.trajectory(index, Completion.unsampled(np.array(tokens), stop))


def actions(mdp: ReasoningMDP, granularity: str, tokens: list[int]) -> list[Any]:
    """The actions that take these tokens."""
    if granularity == "token":
        return tokens
    if granularity == "response":
        return [tokens]
    cuts = [i + 1 for i, token in enumerate(tokens) if mdp.tokenizer.ends_step[token]]
    return [tokens[a:b] for a, b in zip([0, *cuts], [*cuts, len(tokens)], strict=True) if a < b]


def stepped(mdp: ReasoningMDP, granularity: str, index: int, tokens: list[int]) -> dict[str, Any]:
    """The episode of these tokens, taken at one granularity."""
    env = ReasoningEnv(mdp, granularity)
    env.reset(seed=0, options={"problem": index})
    rewards = np.zeros(len(tokens))
    done, at = (False, False), 0
    for action in actions(mdp, granularity, tokens):
        assert not any(done), "an action was left over after the end"
        _, reward, *done, info = env.step(action)
        at += 1 if granularity == "token" else len(action)
        rewards[at - 1] = reward
        assert reward == pytest.approx(sum(info["reward_terms"].values()))
        assert not all(done), "terminated and truncated"
    assert any(done), "the episode did not end"
    return {"text": info["response"], "rewards": rewards, "done": tuple(done), "verdict": info["verdict"]}


LAW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("task", TASKS)
@LAW
@given(reward=REWARDS, index=st.integers(0, SIZE - 1), said=RESPONSES)
def test_granularity_only_says_how_many_tokens_an_action_holds(
    task: str, reward: str, index: int, said: tuple[str, float, str]
) -> None:
    mdp = mdp_of(task, reward)
    index %= len(mdp.problems)
    tokens = response(mdp, index, *said)
    token, step, whole = (stepped(mdp, g, index, tokens) for g in GRANULARITIES)
    for coarse in (step, whole):
        assert (coarse["text"], coarse["done"], coarse["verdict"]) == (token["text"], token["done"], token["verdict"])
        assert np.sum(coarse["rewards"]) == pytest.approx(np.sum(token["rewards"]))
    # Rewards fall on the ends of steps, so tokens and steps agree on where, not only on how much.
    assert np.allclose(step["rewards"], token["rewards"])


@pytest.mark.parametrize("task", TASKS)
@LAW
@given(reward=REWARDS, index=st.integers(0, SIZE - 1), said=RESPONSES)
def test_a_whole_trajectory_replays_at_every_granularity(
    task: str, reward: str, index: int, said: tuple[str, float, str]
) -> None:
    mdp = mdp_of(task, reward)
    index %= len(mdp.problems)
    trajectory = as_trajectory(mdp, index, response(mdp, index, *said))
    for granularity in GRANULARITIES:
        reasonenv.replay(trajectory, ReasoningEnv(mdp, granularity))


@pytest.mark.parametrize("task", TASKS)
def test_episodes_are_a_function_of_the_seed(task: str) -> None:
    mdp = mdp_of(task)

    def single(seed: int) -> list[str]:
        env = ReasoningEnv(mdp, "response")
        return [env.reset(seed=seed)[1]["problem_id"], *(env.reset()[1]["problem_id"] for _ in range(6))]

    def batched(seed: int) -> list[str]:
        env = BatchedReasoningEnv(mdp, "response", 2, autoreset_mode=AutoresetMode.SAME_STEP)
        seen = list(env.reset(seed=seed)[1]["problem_id"])
        return [*seen, *(i for _ in range(3) for i in env.step([[]] * 2)[-1]["problem_id"])]

    for walk in (single, batched):
        assert walk(5) == walk(5)
        assert len(mdp.problems) == 1 or len({tuple(walk(seed)) for seed in range(4)}) > 1


@pytest.mark.parametrize("task", TASKS)
def test_any_problem_and_any_unfinished_prefix_is_a_start(task: str) -> None:
    mdp = mdp_of(task)
    last = len(mdp.problems) - 1
    prefix = response(mdp, last, "endless", 0, "")[: mdp.max_tokens // 2]
    options = {"problem": last, "prefix": prefix}
    env, batch = ReasoningEnv(mdp, "response"), BatchedReasoningEnv(mdp, "response", 2)
    observation, info = env.reset(options=options)
    assert info["problem_id"] == mdp.problems[last].id
    assert observation["tokens"][: observation["length"]].tolist() == [*mdp.prompts[last], *prefix]
    together, infos = batch.reset(options=options)
    assert infos["problem_id"].tolist() == [info["problem_id"]] * 2
    assert all((together["tokens"] == observation["tokens"]).all(axis=1))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("reward", ["dense", "sparse+format+overlong"])  # steps earn, or ends alone
def test_every_row_is_a_single_environment(task: str, mode: AutoresetMode, reward: str) -> None:
    mdp = mdp_of(task, reward)
    for granularity, steps in (("token", 2 * min(mdp.max_tokens, 60)), ("step", 12), ("response", 4)):
        follow(mdp, granularity, mode, steps)


def follow(mdp: ReasoningMDP, granularity: str, mode: AutoresetMode, steps: int) -> int:
    """Takes a batch and single environments side by side, and returns how many episodes ended."""
    n, rng = 4, np.random.default_rng(0)
    batch = BatchedReasoningEnv(mdp, granularity, n, group_size=2, autoreset_mode=mode)
    singles = [ReasoningEnv(mdp, granularity) for _ in range(n)]
    ids = [p.id for p in mdp.problems]
    scripts: list[list[Any]] = [[] for _ in range(n)]

    def begin(row: int, infos: dict[str, Any]) -> None:
        """Starts the single environment on the problem that the batch chose, and a new script for both."""
        index = ids.index(infos["problem_id"][row])
        singles[row].reset(options={"problem": index, "noise": int(infos["noise"][row]) if mdp.stochastic else 0})
        kind = str(rng.choice(["gold", "cut", "noise", "endless"]))
        scripts[row] = list(actions(mdp, granularity, response(mdp, index, kind, rng.random(), "7=\n#### 7")))

    _, infos = batch.reset(seed=3)
    for row in range(n):
        begin(row, infos)
    assert infos["problem_id"][0] == infos["problem_id"][1]  # a group shares its problem
    over, ended = np.zeros(n, dtype=bool), 0
    for _ in range(steps):
        resetting = over.copy()
        if mode == AutoresetMode.DISABLED and resetting.any():
            _, infos = batch.reset(options={"reset_mask": resetting})
            for row in np.flatnonzero(resetting):
                begin(row, infos)
            resetting[:] = False
        eos = mdp.tokenizer.eos_id if granularity == "token" else [mdp.tokenizer.eos_id]
        # a row that restarts takes no action, and where the environment made an episode longer its script is short
        taken = [scripts[row].pop(0) if scripts[row] and not resetting[row] else eos for row in range(n)]
        observation, rewards, terminated, truncated, infos = batch.step(taken)
        assert not (terminated & truncated).any()
        for row in range(n):
            if resetting[row]:  # NEXT_STEP: this step only began the next episode
                assert (rewards[row], terminated[row], truncated[row]) == (0, False, False)
                begin(row, infos)
                continue
            expected, reward, *flags, info = singles[row].step(taken[row])
            assert rewards[row] == pytest.approx(reward)
            assert [terminated[row], truncated[row]] == flags
            seen = {key: value[row] for key, value in observation.items()}
            if any(flags):
                ended += 1
                told = infos
                if mode == AutoresetMode.SAME_STEP:
                    seen, told = infos["final_obs"][row], infos["final_info"]
                    begin(row, infos)
                assert told["verdict"][row] == info["verdict"]
                assert told["response"][row] == info["response"]
                terms = {k: v[row] for k, v in told["reward_terms"].items() if not k.startswith("_")}
                assert terms == pytest.approx(info["reward_terms"])
            assert (seen["tokens"] == expected["tokens"]).all()
            assert seen["length"] == expected["length"]
        over = (terminated | truncated) & (mode != AutoresetMode.SAME_STEP)
    assert ended or granularity != "response"
    return ended


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("reward", ["dense", "sparse"])
def test_many_episodes_one_behind_the_other(mode: AutoresetMode, reward: str) -> None:
    assert follow(mdp_of("Chain", reward), "token", mode, 250) > 20


@pytest.mark.parametrize(
    ("mode", "keys"),
    [
        (AutoresetMode.SAME_STEP, {"stochastic": "sticky:0.2"}),
        (AutoresetMode.NEXT_STEP, {"replies": "calculator", "stochastic": "tool_failure:0.5"}),
        (AutoresetMode.DISABLED, {"replies": "retry:3"}),
        (AutoresetMode.SAME_STEP, {"stochastic": "hint:0.5"}),
        (AutoresetMode.NEXT_STEP, {"stochastic": "reword:0.5"}),
    ],
)
def test_rows_in_which_the_environment_writes_are_single_environments(
    mode: AutoresetMode, keys: dict[str, str]
) -> None:
    mdp = make_mdp("Chain", size=SIZE, reward="dense", **keys)
    assert follow(mdp, "token", mode, 250) > 8
    assert follow(mdp, "step", mode, 30) > 8
