"""The batched environment: equal to single ones row by row, in all three autoreset modes."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import reasonenv
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.vector import BatchedReasoningEnv


@pytest.fixture(scope="module")
def mdp() -> ReasoningMDP:
    return make_mdp("Chain", size=30, reward="dense")


def noisy_gold(mdp: ReasoningMDP, index: int, rng: np.random.Generator) -> list[int]:
    """The reference solution, sometimes with a wrong digit in it, sometimes cut short, sometimes endless."""
    tokens = mdp.demonstration(index).tokens.tolist()
    kind = rng.integers(4)
    if kind == 1:
        tokens[rng.integers(len(tokens) - 1)] = mdp.tokenizer.encode("7")[0]
    if kind == 2:
        tokens = [*tokens[: rng.integers(len(tokens))], mdp.tokenizer.eos_id]
    if kind == 3:
        tokens = (tokens[:-1] * mdp.max_tokens)[: mdp.max_tokens]
    return tokens


CASES = [(mode, None) for mode in AutoresetMode] + [
    (AutoresetMode.SAME_STEP, "sticky:0.2"),
    (AutoresetMode.NEXT_STEP, "calculator:0.5"),
    (AutoresetMode.DISABLED, "retry:3"),
    (AutoresetMode.SAME_STEP, "hint:0.5"),
    (AutoresetMode.NEXT_STEP, "reword:0.5"),
]


@pytest.mark.parametrize(("mode", "stochastic"), CASES)
def test_every_row_is_a_single_environment(mode: AutoresetMode, stochastic: str | None) -> None:
    mdp = make_mdp("Chain", size=30, reward="dense", stochastic=stochastic)
    n, rng = 6, np.random.default_rng(0)
    batch = BatchedReasoningEnv(mdp, "token", n, autoreset_mode=mode)
    singles = [ReasoningEnv(mdp, "token") for _ in range(n)]
    ids = [p.id for p in mdp.task.problems]
    scripts: list[list[int]] = [[] for _ in range(n)]

    def follow(row: int, infos: dict[str, Any]) -> None:
        """Starts the single environment where the batch did, and a new script for both."""
        problem = ids.index(infos["problem_id"][row])
        noise = int(infos["noise"][row]) if stochastic else None
        singles[row].reset(options={"problem": problem, "noise": noise})
        scripts[row] = noisy_gold(mdp, problem, rng)

    def chosen(row: int) -> int:
        """The next token of a script, and EOS where the environment has made the episode longer than it."""
        return scripts[row].pop(0) if scripts[row] else mdp.tokenizer.eos_id

    observation, infos = batch.reset(seed=3)
    for row in range(n):
        follow(row, infos)
    over, ended = np.zeros(n, dtype=bool), 0
    for _ in range(300):
        resetting = over.copy()
        actions = [0 if resetting[row] else chosen(row) for row in range(n)]
        if mode == AutoresetMode.DISABLED and resetting.any():
            observation, infos = batch.reset(options={"reset_mask": resetting})
            for row in np.flatnonzero(resetting):
                follow(row, infos)
                actions[row] = chosen(row)
            resetting[:] = False
        observation, rewards, terminated, truncated, infos = batch.step(np.array(actions))
        assert not (terminated & truncated).any()
        for row in range(n):
            if resetting[row]:  # NEXT_STEP: this step only began the next episode
                assert (rewards[row], terminated[row], truncated[row]) == (0, False, False)
                follow(row, infos)
                continue
            expected, reward, *flags, info = singles[row].step(actions[row])
            assert rewards[row] == pytest.approx(reward)
            assert [terminated[row], truncated[row]] == flags
            seen = {key: value[row] for key, value in observation.items()}
            if any(flags):
                ended += 1
                told = infos
                if mode == AutoresetMode.SAME_STEP:
                    seen, told = infos["final_obs"][row], infos["final_info"]
                    follow(row, infos)
                assert told["verdict"][row] == info["verdict"]
                assert told["response"][row] == info["response"]
            assert (seen["tokens"] == expected["tokens"]).all()
            assert seen["length"] == expected["length"]
        over = (terminated | truncated) & (mode != AutoresetMode.SAME_STEP)
    assert ended > 12


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


def test_episodes_are_a_function_of_the_seed(mdp: ReasoningMDP) -> None:
    def walk(seed: int) -> list[str]:
        env = BatchedReasoningEnv(mdp, "response", 4, autoreset_mode=AutoresetMode.SAME_STEP)
        seen = list(env.reset(seed=seed)[1]["problem_id"])
        for _ in range(4):
            seen += list(env.step([[]] * 4)[-1]["problem_id"])
        return seen

    assert walk(5) == walk(5) != walk(6)


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
