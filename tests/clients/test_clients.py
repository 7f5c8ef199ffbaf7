"""Clients that nobody here wrote, and the example: unmodified, on the environments as they are."""

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from reasonenv.core import Problem
from reasonenv.mdp.rewards import Progress
from reasonenv.mdp.wrappers import OneHotView
from reasonenv.tokenizer import char_tokenizer

ROOT = Path(__file__).resolve().parents[2]
ID = "reasonenv/Chain-Token-v0"


def number(problem: Problem, before: Progress, after: Progress) -> float:
    """1 for ending with any number: what a policy has to learn first."""
    return float(after.verdict is not None and after.verdict.extracted is not None)


# Sums of two one-digit numbers in 15 symbols: 10 is the answer of one question in nine.
EASY: dict[str, Any] = {"operands": 2, "operators": "+", "max_tokens": 4, "size": 500, "reward": ["sparse", number]}


def test_stable_baselines3_ppo_learns() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    tokenizer = char_tokenizer("0123456789+=?\n")
    envs = make_vec_env(lambda: OneHotView(gymnasium.make(ID, tokenizer=tokenizer, **EASY)), n_envs=32, seed=0)
    knobs: dict[str, Any] = {"n_steps": 64, "batch_size": 512, "n_epochs": 4, "learning_rate": 1e-3}
    model = PPO("MlpPolicy", envs, gamma=0.9, ent_coef=0.01, seed=0, device="cpu", **knobs)
    returns: list[float] = []

    def note(locals: dict[str, Any], _: dict[str, Any]) -> bool:
        returns.extend(info["episode"]["r"] for info in locals["infos"] if "episode" in info)
        return True

    model.learn(10 * 32 * 64, callback=note)
    tenth = len(returns) // 10
    # A random policy ends with a number one time in ten.
    assert np.mean(returns[:tenth]) < 0.3 < 0.6 < np.mean(returns[-tenth:])


def test_torchrl_agrees_with_the_specs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about itself
        from torchrl.envs import GymEnv
        from torchrl.envs.utils import check_env_specs

        env = GymEnv(ID, size=20)
        check_env_specs(env, seed=0)
        rollout = env.rollout(5)
    assert rollout["next", "length"].flatten().diff().tolist() == [1] * (len(rollout) - 1)


def test_the_example_runs_and_learns() -> None:
    spec = importlib.util.spec_from_file_location("ppo_example", ROOT / "examples" / "ppo.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    returns = example.train(iterations=12)
    assert np.mean(returns[:2]) < 0.04 < 0.07 < np.mean(returns[-2:])
