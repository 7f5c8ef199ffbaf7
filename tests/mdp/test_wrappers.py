"""Wrappers: each alone, on top of each other, and in Gymnasium's own vector environments."""

import json
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit
from hypothesis import given, settings
from hypothesis import strategies as st

import reasonenv
from reasonenv.core import Role
from reasonenv.errors import UserError
from reasonenv.mdp.env import GRANULARITIES
from reasonenv.mdp.record import read_trajectories
from reasonenv.mdp.spaces import UnicodeText
from reasonenv.mdp.wrappers import ActionMask, KLPenalty, OneHotView, RecordTrajectories, TextView
from reasonenv.tasks import reference_solution
from reasonenv.tokenizer import char_tokenizer

ALPHABET = "0123456789+=?\n"


def make(granularity: str = "Token", **knobs: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(f"reasonenv/Chain-{granularity}-v0", **{"size": 5, "reward": "dense", **knobs})


def small() -> gymnasium.Env[Any, Any]:
    return make(tokenizer=char_tokenizer(ALPHABET), operands=2, operators="+", max_tokens=6)


def checked(env: gymnasium.Env[Any, Any]) -> None:
    """Gymnasium's checker has nothing to say but that there is a wrapper."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version.*")
        check_env(env, skip_render_check=True)


# Spaces -------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(text=st.text())
def test_every_text_is_in_the_space(text: str) -> None:
    assert text in UnicodeText()
    assert (text in UnicodeText(3)) == (len(text) <= 3)


def test_the_space_samples_itself_and_nothing_else_is_in_it() -> None:
    space = UnicodeText(seed=0)
    samples = [space.sample() for _ in range(300)]
    assert all(sample in space for sample in samples)
    assert "" in samples
    assert max(map(ord, "".join(samples))) > 0xFFFF
    assert space.seed(0) == UnicodeText().seed(0)
    assert samples[:5] == [space.sample() for _ in range(5)]
    assert [thing in space for thing in ("\ud800", b"a", 3, None)] == [False] * 4
    assert space == UnicodeText() != UnicodeText(3)
    with pytest.raises(ValueError, match="no charset"):
        space.sample(mask=(3, None))


# Views --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("granularity", ["Token", "Step", "Response"])
def test_wrapped_environments_are_environments(granularity: str, tmp_path: Path) -> None:
    checked(TextView(make(granularity)))
    checked(RecordTrajectories(KLPenalty(make(granularity), lambda s, a: 1.0, beta=0.1), tmp_path / "t.jsonl"))
    if granularity == "Token":
        checked(OneHotView(small()))
        checked(ActionMask(make()))


def test_text_in_and_text_out_at_any_granularity() -> None:
    problem = make().unwrapped.mdp.problems[0]
    first, rest = reference_solution(problem).split("\n", 1)
    for granularity in ("Token", "Step", "Response"):
        env = TextView(make(granularity))
        text, _ = env.reset(options={"problem": 0})
        assert text == f"{problem.question}\n"
        parts = [f"{first}\n", "", f"{rest}<eos>left over"] if granularity != "Response" else [f"{first}\n{rest}"]
        earned, terms = 0.0, 0.0
        for part in parts:
            text, reward, terminated, truncated, info = env.step(part)
            earned, terms = earned + reward, terms + sum(info["reward_terms"].values())
        assert text == f"{problem.question}\n{reference_solution(problem)}<eos>"
        assert (terminated, truncated, info["is_success"]) == (True, False, True)
        assert earned == pytest.approx(1.5)
        assert terms == pytest.approx(1.5)


@pytest.mark.parametrize("vector", [SyncVectorEnv, AsyncVectorEnv])
def test_texts_go_through_vector_environments(vector: Any) -> None:
    knobs = {"shared_memory": False} if vector is AsyncVectorEnv else {}
    envs = vector([lambda: TextView(make("Step"))] * 2, **knobs)
    texts, infos = envs.reset(seed=[1, 2])
    assert list(texts) == [f"{question}\n" for question in infos["question"]]
    texts, *_ = envs.step(("é→😀\n", ""))
    assert list(texts) == [f"{infos['question'][0]}\né→😀\n", f"{infos['question'][1]}\n"]
    envs.close()


def test_one_hot_rows_are_the_tokens() -> None:
    env = OneHotView(small())
    flat, _ = env.reset(seed=0)
    tokens = env.unwrapped.mdp.prompts[env.unwrapped.state.index]
    rows = flat.reshape(env.unwrapped.mdp.context, len(ALPHABET) + 1)
    assert rows[: len(tokens)].argmax(axis=1).tolist() == tokens.tolist()
    assert rows.sum() == len(tokens)
    with pytest.raises(UserError, match="use a smaller vocabulary"):
        OneHotView(make(max_tokens=5000))


def test_a_mask_comes_only_when_asked_for_and_holds_what_it_says() -> None:
    assert "action_mask" not in make().reset(seed=0)[1]
    env = ActionMask(make(), alphabet="0123456789\n")
    _, info = env.reset(seed=0)
    tokenizer = env.unwrapped.mdp.tokenizer
    allowed = sorted(tokenizer.decode([i]) for i in np.flatnonzero(info["action_mask"]))
    assert allowed == [*sorted("0123456789\n"), "<eos>"]
    chosen = {int(env.action_space.sample(info["action_mask"])) for _ in range(50)}
    assert chosen <= set(np.flatnonzero(info["action_mask"]).tolist())
    *_, info = env.step(next(iter(chosen)))
    assert info["action_mask"].sum() == 12
    assert ActionMask(make()).reset(seed=0)[1]["action_mask"].sum() == 257  # the byte tokenizer's one special is EOS
    with pytest.raises(UserError, match="granularity is 'step'"):
        ActionMask(make("Step"))


def test_wrappers_refuse_other_environments() -> None:
    with pytest.raises(UserError, match="TextView wraps a ReasoningEnv, not CartPoleEnv"):
        TextView(gymnasium.make("CartPole-v1"))


def test_a_penalty_for_distance_joins_the_terms_at_every_granularity() -> None:
    # log pi - log pi_ref of 0.5 a token, beta 0.1: -0.05 a token
    seen: list[int] = []

    def log_ratio(sequence: Any, taken: Any) -> float:
        seen.append(len(sequence))
        return 0.5 * len(taken)

    for granularity in ("Token", "Step", "Response"):
        env = TextView(KLPenalty(make(granularity), log_ratio, beta=0.1))
        env.reset(options={"problem": 0})
        solution = reference_solution(env.unwrapped.mdp.problems[0])
        _, reward, terminated, _, info = env.step(f"{solution}<eos>")
        assert terminated
        assert info["reward_terms"] == pytest.approx({"correct": 1, "steps": 0.5, "kl": -0.05 * (len(solution) + 1)})
        assert reward == pytest.approx(sum(info["reward_terms"].values()))
    prompt = len(env.unwrapped.mdp.prompts[0])
    assert seen == [*range(prompt, prompt + len(solution) + 1), prompt, prompt]


# Records ------------------------------------------------------------------------------------------------------------


def play(env: gymnasium.Env[Any, Any], text: str, prefix: str = "") -> None:
    """One episode on problem 0, action by action of the environment's granularity."""
    mdp = env.unwrapped.mdp
    env.reset(options={"problem": 0, "prefix": mdp.tokenizer.encode(prefix)})
    actions: list[Any] = [mdp.tokenizer.encode(line) for line in text.splitlines(keepends=True)] + [
        [mdp.tokenizer.eos_id]
    ]
    if env.unwrapped.granularity == "token":
        actions = [i for action in actions for i in action]
    if env.unwrapped.granularity == "response":
        actions = [mdp.tokenizer.encode(text)]
    for action in actions:
        if any(env.step(action)[2:4]):
            return


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_what_was_recorded_is_read_back_and_replays(granularity: str, tmp_path: Path) -> None:
    def penalised() -> gymnasium.Env[Any, Any]:
        return KLPenalty(make(granularity.title()), lambda s, a: 0.5 * len(a), beta=0.1)

    env = RecordTrajectories(penalised(), tmp_path / "deep" / "t.jsonl")
    first, rest = reference_solution(env.unwrapped.mdp.problems[0]).split("\n", 1)
    play(env, f"{first}\n{rest}")
    play(env, rest, prefix=f"{first}\n")
    play(env, "1\n" * 99)
    env.reset()  # abandoned
    env.close()
    whole, behind, endless = read_trajectories(tmp_path / "deep" / "t.jsonl")
    assert [t.terminated for t in (whole, behind, endless)] == [True, True, False]
    assert whole.ret == pytest.approx(1.5 - 0.05 * len(whole.tokens))
    assert behind.ret == pytest.approx(1.25 - 0.05 * len(behind.tokens))  # the first step was earned before
    assert len(whole.tokens) == len(behind.tokens) + len(first) + 1
    coarser = GRANULARITIES[GRANULARITIES.index(granularity) :]
    for trajectory in (whole, behind, endless):
        assert trajectory.verdict.extracted is not None or trajectory.truncated
        for other in coarser:
            env = KLPenalty(make(other.title()), lambda s, a: 0.5 * len(a), beta=0.1)
            reasonenv.replay(trajectory, env)


@pytest.mark.parametrize(
    "keys",
    [
        {"stochastic": "sticky:0.3"},
        {"replies": "calculator"},
        {"stochastic": "hint:0.5"},
        {"replies": "retry:2"},
        {"stochastic": "reword:1"},
    ],
    ids=str,
)
def test_records_tell_what_the_environment_wrote_and_replay_from_a_prefix(keys: dict[str, str], tmp_path: Path) -> None:
    # the penalty counts 1 a token of the policy and none of the environment's
    def penalised(granularity: str) -> gymnasium.Env[Any, Any]:
        return KLPenalty(make(granularity, **keys), lambda s, a: float(len(a)), beta=1.0)

    env = RecordTrajectories(penalised("Token"), tmp_path / "t.jsonl")
    mdp, written = env.unwrapped.mdp, 0
    for prefix in ("", "1+1=\n2"):
        env.reset(options={"problem": 0, "prefix": mdp.tokenizer.encode(prefix), "noise": 3})
        for token in [*mdp.tokenizer.encode("3+4=\n#### 1"), *[mdp.tokenizer.eos_id] * 9]:
            if any(env.step(token)[2:4]):
                break
    for trajectory in read_trajectories(tmp_path / "t.jsonl"):
        own = trajectory.roles == Role.POLICY
        written += int((~own).sum())
        assert trajectory.noise == 3
        assert (trajectory.rewards[own] <= -0.5).all()  # 1 less than what it earned
        assert (trajectory.rewards[~own] == 0).all()
        for granularity in ("Token", "Step", "Response"):
            reasonenv.replay(trajectory, penalised(granularity))
    assert bool(written) == (keys != {"stochastic": "reword:1"})


def test_a_torn_last_line_costs_one_episode_and_never_a_second(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    for _ in range(2):
        env = RecordTrajectories(make(), path)
        play(env, "1")
        env.close()
    path.write_bytes(path.read_bytes()[:-9])
    assert len(read_trajectories(path)) == 1
    env = RecordTrajectories(make(), path)
    play(env, "2")  # not closed: a line is on the disk as soon as its episode is over
    assert [t.tokens[0] for t in read_trajectories(path)] == env.unwrapped.mdp.tokenizer.encode("12")


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    env = RecordTrajectories(make(), path)
    play(env, "1")
    good = path.read_text()
    for bad in ("{}", "[", json.dumps({**json.loads(good), "tokens": ["x"]})):
        path.write_text(f"{good}{bad}\n")
        with pytest.raises(UserError, match="line 2: no trajectory"):
            read_trajectories(path)
    with pytest.raises(UserError, match="no such file"):
        read_trajectories(tmp_path / "none")


# Gymnasium's own ----------------------------------------------------------------------------------------------------


def test_stock_wrappers_work(tmp_path: Path) -> None:
    env = RecordTrajectories(TimeLimit(RecordEpisodeStatistics(make()), 3), tmp_path / "t.jsonl")
    env.reset(seed=0)
    flags = [env.step(env.unwrapped.mdp.tokenizer.encode("1")[0])[2:4] for _ in range(3)]
    assert flags == [(False, False), (False, False), (False, True)]
    (cut,) = read_trajectories(tmp_path / "t.jsonl")
    assert (len(cut.tokens), cut.truncated, cut.verdict.reason) == (3, True, "no_answer")
    env.reset(seed=0)
    *_, info = env.step(env.unwrapped.mdp.tokenizer.eos_id)
    assert (info["episode"]["l"], info["episode"]["r"]) == (1, 0)


def test_shared_memory_holds_the_observations() -> None:
    envs = AsyncVectorEnv([make] * 2, shared_memory=True)
    observation, infos = envs.reset(seed=[1, 2])
    one = make()
    for row in range(2):
        expected, info = one.reset(seed=row + 1)
        assert info["question"] == infos["question"][row]
        assert (observation["tokens"][row] == expected["tokens"]).all()
        assert observation["length"][row] == expected["length"]
    observation, *_ = envs.step(np.array([65, 66]))
    assert observation["tokens"][np.arange(2), observation["length"] - 1].tolist() == [65, 66]
    envs.close()
