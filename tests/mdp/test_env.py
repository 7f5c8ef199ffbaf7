"""The single environment: Gymnasium's own checker, the granularity law and the replay law."""

import warnings
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import reasonenv
from reasonenv.core import Completion, Reason, Trajectory
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.registry import GRANULARITIES
from reasonenv.tasks import reference_solution

TASKS = ("Chain", "Countdown", "GSM8K", "SVAMP")  # tests/envs checks the others, on lines of their formats
IDS = [f"reasonenv/{task}-{granularity}-v0" for task in TASKS for granularity in GRANULARITIES]
REWARDS = st.sampled_from(["sparse", "dense", "potential"])


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_finds_nothing_to_say(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(env_id).unwrapped)


@pytest.fixture(scope="module")
def mdps() -> dict[tuple[str, str], ReasoningMDP]:
    """Each task under each reward, made once: they tokenise every prompt."""
    knobs = {"Chain": {"size": 50}, "GSM8K": {"limit": 200, "max_tokens": 900}}
    rewards = ("sparse", "dense", "potential")
    return {(t, r): make_mdp(t, reward=r, **k) for t, k in knobs.items() for r in rewards}


def responses(mdp: ReasoningMDP, index: int, draw: st.DrawFn) -> list[int]:
    """Tokens of a finished episode: the reference solution, altered or cut or filled with noise, then closed."""
    encode, eos = mdp.tokenizer.encode, mdp.tokenizer.eos_id
    gold = encode(reference_solution(mdp.task.problems[index]))
    kind = draw(st.sampled_from(["gold", "cut", "noise", "endless"]))
    if kind == "endless":
        return (gold * mdp.max_tokens)[: mdp.max_tokens]
    noise = draw(st.text(st.sampled_from("0123456789+-=\n# "), max_size=30))
    body = {"gold": gold, "cut": gold[: draw(st.integers(0, len(gold)))], "noise": [*gold[:20], *encode(noise)]}[kind]
    return [*body[: mdp.max_tokens - 1], eos]


def stepped(mdp: ReasoningMDP, granularity: str, index: int, tokens: list[int]) -> dict[str, object]:
    """The episode of these tokens, taken at one granularity."""
    env = ReasoningEnv(mdp, granularity)
    env.reset(seed=0, options={"problem": index})
    ends = mdp.tokenizer.ends_step
    actions: list[list[int]] = [[]]
    for token in tokens:
        actions[-1].append(token)
        if granularity == "token" or (granularity == "step" and ends[token]):
            actions.append([])
    rewards = np.zeros(len(tokens))
    done, at = (False, False), 0
    for action in filter(None, actions):
        assert not any(done), "an action was left over after the end"
        _, reward, *done, info = env.step(action[0] if granularity == "token" else action)
        at += len(action)
        rewards[at - 1] = reward
        assert reward == pytest.approx(sum(info["reward_terms"].values()))
        assert not all(done)
    assert any(done), "the episode did not end"
    return {"text": info["response"], "rewards": rewards, "done": tuple(done), "verdict": info["verdict"]}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), task=st.sampled_from(["Chain", "GSM8K"]), reward=REWARDS)
def test_granularity_only_says_how_many_tokens_an_action_holds(
    mdps: dict[tuple[str, str], ReasoningMDP], data: st.DataObject, task: str, reward: str
) -> None:
    mdp = mdps[task, reward]
    index = data.draw(st.integers(0, len(mdp.task.problems) - 1))
    tokens = responses(mdp, index, data.draw)
    token, step, response = (stepped(mdp, g, index, tokens) for g in ("token", "step", "response"))
    for coarse in (step, response):
        assert (coarse["text"], coarse["done"], coarse["verdict"]) == (token["text"], token["done"], token["verdict"])
        assert np.sum(coarse["rewards"]) == pytest.approx(np.sum(token["rewards"]))
    # Rewards fall on the ends of steps, so tokens and steps agree on where, not only on how much.
    assert np.allclose(step["rewards"], token["rewards"])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), task=st.sampled_from(["Chain", "GSM8K"]), reward=REWARDS)
def test_a_whole_trajectory_replays_at_every_granularity(
    mdps: dict[tuple[str, str], ReasoningMDP], data: st.DataObject, task: str, reward: str
) -> None:
    mdp = mdps[task, reward]
    index = data.draw(st.integers(0, len(mdp.task.problems) - 1))
    trajectory = as_trajectory(mdp, index, responses(mdp, index, data.draw))
    for granularity in ("token", "step", "response"):
        reasonenv.replay(trajectory, ReasoningEnv(mdp, granularity))


def as_trajectory(mdp: ReasoningMDP, index: int, tokens: list[int]) -> Trajectory:
    stop = "eos" if tokens[-1] == mdp.tokenizer.eos_id else "length"
    return mdp.trajectory(index, Completion(np.array(tokens), np.zeros(len(tokens), dtype=np.float32), stop, 0, 0))


def test_replay_fails_at_the_first_difference() -> None:
    mdp = make_mdp("Chain", size=5, reward="dense")
    good = mdp.demonstration(0)
    rewards = good.rewards.copy()
    rewards[good.ends[0]] += 0.25
    with pytest.raises(AssertionError, match=f"token {good.ends[0]}: reward"):
        reasonenv.replay(replace(good, rewards=rewards), ReasoningEnv(mdp, "token"))


def test_gold_is_worth_what_the_reward_says() -> None:
    # two reference steps: sparse 1; dense 1 + alpha = 1.5, half of alpha at each step; shaping telescopes to 0
    for reward, expected in (("sparse", 1.0), ("dense", 1.5), ("potential", 1.0)):
        mdp = make_mdp("Chain", size=5, reward=reward)
        assert mdp.demonstration(0).ret == pytest.approx(expected)
    dense = make_mdp("Chain", size=5, reward="dense").demonstration(0)
    assert dense.rewards[dense.ends].tolist() == pytest.approx([0.25, 0.25, 1.0])


def test_potential_shaping_leaves_return_differences_unchanged() -> None:
    sparse, shaped = (make_mdp("Chain", size=20, reward=r) for r in ("sparse", "potential"))
    for index in range(20):
        eos = sparse.tokenizer.eos_id
        wrong = [*sparse.tokenizer.encode("1+1=2\n#### 77777"), eos]
        endless = sparse.demonstration(index).tokens.tolist()[:-1] * 9
        for tokens in (wrong, endless[: sparse.max_tokens]):
            returns = [as_trajectory(m, index, tokens).ret - m.demonstration(index).ret for m in (sparse, shaped)]
            assert returns[0] == pytest.approx(returns[1])


def test_a_cut_response_has_given_no_answer() -> None:
    mdp = make_mdp("Chain", size=5, max_tokens=40)
    gold = mdp.tokenizer.encode(reference_solution(mdp.task.problems[0]))
    cut = as_trajectory(mdp, 0, (gold + mdp.tokenizer.encode("\n" * 40))[:40])
    assert (cut.truncated, cut.terminated, cut.ret) == (True, False, 0.0)
    assert cut.verdict.reason is Reason.NO_ANSWER


def test_any_unfinished_prefix_is_a_start() -> None:
    mdp = make_mdp("Chain", size=5, reward="dense")
    gold = mdp.demonstration(0)
    first = int(gold.ends[0]) + 1
    env = ReasoningEnv(mdp, "response")
    observation, _ = env.reset(options={"problem": 0, "prefix": gold.tokens[:first]})
    assert observation["length"] == len(gold.prompt) + first
    _, reward, terminated, _, _ = env.step(gold.tokens[first:])
    assert terminated
    assert reward == pytest.approx(1.25)  # the first step's quarter was earned before this start
    for bad in ([mdp.tokenizer.eos_id], [0] * mdp.max_tokens, [10**6], [-1]):
        with pytest.raises(reasonenv.UserError, match="prefix"):
            env.reset(options={"problem": 0, "prefix": bad})


def test_the_response_environment_closes_an_open_response() -> None:
    env = ReasoningEnv(make_mdp("Chain", size=5), "response")
    env.reset(options={"problem": 0})
    *_, terminated, truncated, info = env.step([])
    assert (terminated, truncated, info["verdict"].reason) == (True, False, Reason.NO_ANSWER)


def test_stepping_past_the_end_is_refused() -> None:
    env = ReasoningEnv(make_mdp("Chain", size=5), "response")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step([])


def test_render_shows_what_each_action_earned() -> None:
    mdp = make_mdp("Chain", size=5, reward="dense")
    env = ReasoningEnv(mdp, "step", render_mode="ansi")
    env.reset(options={"problem": 0})
    gold = mdp.demonstration(0)
    start = 0
    for end in gold.ends:
        env.step(gold.tokens[start : end + 1])
        start = end + 1
    lines = env.render().splitlines()
    assert lines[0] == mdp.task.problems[0].question
    assert [line.split()[0] for line in lines[1:]] == ["+0.250", "+0.250", "+1.000"]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": 1}, "max_tokens is 1"),
        ({"reward": "dens"}, "did you mean dense"),
        ({"prompt": "chat"}, "no chat template"),
        ({"prompt": "plane"}, "did you mean plain"),
        ({"operand": 4}, "did you mean operands"),
        ({"tokenizer": "no/such/folder"}, "neither"),
    ],
)
def test_a_bad_argument_is_named(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(reasonenv.UserError, match=message):
        gymnasium.make("reasonenv/Chain-Token-v0", **knobs)


def test_the_id_works_without_an_import() -> None:
    import subprocess
    import sys

    code = "import gymnasium as g; print(g.make('reasonenv:reasonenv/Chain-Token-v0').reset(seed=0)[1]['question'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("=?")
