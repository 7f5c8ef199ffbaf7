"""The batched environment, where `test_laws.py` does not look."""

from concurrent.futures import ThreadPoolExecutor

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import reasonenv
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.vector import BatchedReasoningEnv
from reasonenv.tasks import reference_solution


@pytest.fixture(scope="module")
def mdp() -> ReasoningMDP:
    return make_mdp("Chain", size=30, reward="dense")


def test_a_group_shares_its_problem_episode_by_episode(mdp: ReasoningMDP) -> None:
    env = BatchedReasoningEnv(mdp, "response", 8, group_size=4, autoreset_mode=AutoresetMode.SAME_STEP)
    _, infos = env.reset(seed=1)
    problems = [infos["problem_id"].reshape(2, 4)]
    for _ in range(5):
        *_, infos = env.step([[]] * 8)
        problems.append(infos["problem_id"].reshape(2, 4))
    shared = np.stack(problems)  # [episodes, groups, G]
    assert (shared == shared[:, :, :1]).all()
    assert len(set(shared[:, :, 0].ravel())) > 4  # and they are not all one problem


def test_siblings_share_the_problem_and_not_its_noise() -> None:
    mdp = make_mdp("Chain", size=30, stochastic="hint:0.5")
    _, infos = BatchedReasoningEnv(mdp, "token", 8, group_size=4).reset(seed=1)
    assert len(set(infos["noise"])) == 8
    assert len(set(infos["problem_id"])) == 2


def test_make_vec_reaches_it_and_stock_statistics_work() -> None:
    env = gymnasium.make_vec(
        "reasonenv/Chain-Step-v0", num_envs=4, vectorization_mode="vector_entry_point", group_size=2, size=10
    )
    assert isinstance(env.unwrapped, BatchedReasoningEnv)
    counted = gymnasium.wrappers.vector.RecordEpisodeStatistics(env)
    counted.reset(seed=0)
    eos = env.unwrapped.mdp.tokenizer.eos_id
    *_, infos = counted.step([[eos]] * 4)
    assert infos["episode"]["l"].tolist() == [1, 1, 1, 1]


def test_unequal_groups_are_refused(mdp: ReasoningMDP) -> None:
    with pytest.raises(reasonenv.UserError, match="multiple"):
        BatchedReasoningEnv(mdp, "token", 6, group_size=4)


def test_finished_rows_must_be_reset_first(mdp: ReasoningMDP) -> None:
    env = BatchedReasoningEnv(mdp, "response", 2, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    env.step([[], []])
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset_mask"):
        env.step([[], []])


def test_a_problem_that_is_not_there_is_refused_and_nothing_moves(mdp: ReasoningMDP) -> None:
    env = BatchedReasoningEnv(mdp, "response", 4, group_size=2, autoreset_mode=AutoresetMode.DISABLED)
    before, _ = env.reset(seed=0)
    for problem in (-1, [0, len(mdp.problems)]):
        with pytest.raises(reasonenv.UserError, match="problem is"):
            env.reset(options={"problem": problem})
    after, infos = env.reset(options={"reset_mask": [False] * 4})
    assert (after["tokens"] == before["tokens"]).all()
    assert infos == {}


def test_actions_may_be_lists_and_may_not_be_fractions(mdp: ReasoningMDP) -> None:
    gold = mdp.tokenizer.encode(reference_solution(mdp.problems[0]))
    env = BatchedReasoningEnv(mdp, "response", 3, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(options={"problem": 0})
    eos = mdp.tokenizer.eos_id
    _, rewards, *_ = env.step([gold, np.array(gold, dtype=np.int32), (*gold, eos, *gold)])
    assert rewards.tolist() == pytest.approx([1.5] * 3)
    env.reset(options={"problem": 0})
    with pytest.raises(TypeError):
        env.step([gold, [0.5], gold])


@pytest.mark.parametrize("wrong", [-1, 257, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("granularity", ["token", "step", "response"])
def test_an_id_that_is_no_token_is_refused_by_name(mdp: ReasoningMDP, granularity: str, wrong: int) -> None:
    token = mdp.tokenizer.encode("1")
    good, bad = (ids if granularity != "token" else ids[0] for ids in (token, [wrong]))
    told = f"an action holds token id {wrong}; ids go from 0 to 256"
    env = BatchedReasoningEnv(mdp, granularity, 2)
    env.reset(seed=0)
    for _ in range(1 if granularity == "response" else 2):  # at first, and after that
        with pytest.raises(gymnasium.error.InvalidAction, match=told):
            env.step([good, bad])
        env.step([good, good])
    alone = ReasoningEnv(mdp, granularity)
    alone.reset(seed=0)
    with pytest.raises(gymnasium.error.InvalidAction, match=told):
        alone.step(bad)


@pytest.mark.parametrize("reward", ["sparse", "dense"])
def test_an_id_outside_the_vocabulary_is_refused_and_nothing_moves(reward: str) -> None:
    env = BatchedReasoningEnv(make_mdp("Chain", size=30, reward=reward), "token", 2)
    env.reset(seed=0)
    before, *_ = env.step(env.mdp.tokenizer.encode("12"))
    for token in (-(10**18), -400, -1, 257, 10**18):
        with pytest.raises(gymnasium.error.InvalidAction, match=f"token id {token}; ids go from 0 to 256"):
            env.step([env.mdp.tokenizer.eos_id, token])
    after, *_ = env.step(env.mdp.tokenizer.encode("34"))
    assert (after["length"] == before["length"] + 1).all()


def test_nobody_looks_at_the_action_of_a_row_that_starts_again(mdp: ReasoningMDP) -> None:
    env = BatchedReasoningEnv(mdp, "token", 2, autoreset_mode=AutoresetMode.NEXT_STEP)
    env.reset(seed=0)
    _, _, terminated, _, _ = env.step([mdp.tokenizer.eos_id] * 2)
    assert terminated.all()
    env.step([-1, 10**6])
    _, _, terminated, _, _ = env.step([mdp.tokenizer.eos_id, mdp.tokenizer.encode("1")[0]])
    assert terminated.tolist() == [True, False]
    env.step([-1, mdp.tokenizer.encode("1")[0]])


def test_sixteen_threads_with_environments_of_their_own_on_one_process(mdp: ReasoningMDP) -> None:
    def episodes(seed: int) -> list[object]:
        env = BatchedReasoningEnv(mdp, "step", 4, autoreset_mode=AutoresetMode.SAME_STEP)
        draw = np.random.default_rng(seed)
        seen = [env.reset(seed=seed)[1]["problem_id"].tolist()]
        for _ in range(30):
            texts = [f"{draw.integers(9)}+{draw.integers(9)}={draw.integers(18)}\n" for _ in range(4)]
            actions = [mdp.tokenizer.encode(text) + [mdp.tokenizer.eos_id] * (i == 3) for i, text in enumerate(texts)]
            observation, rewards, ended, cut, infos = env.step(actions)
            seen += [observation["tokens"].tolist(), rewards.tolist(), ended.tolist(), cut.tolist()]
            seen.append(infos["problem_id"].tolist())
        return seen

    with ThreadPoolExecutor(16) as executor:
        assert list(executor.map(episodes, range(32))) == [episodes(seed) for seed in range(32)]
