"""Clients that nobody here wrote, and PPO on one page: unmodified, on the environments as they are."""

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from reasonenv.mdp.wrappers import ActionMask, OneHotView
from reasonenv.tokenizer import char_tokenizer

ROOT = Path(__file__).resolve().parents[2]
ID = "reasonenv/Chain-Token-v0"


# Differences of two one-digit numbers in 14 symbols: 0 is the answer of one question in nine. Where an episode is cut
# a client bootstraps, so a discount near 1 would first teach it not to end.
EASY: dict[str, Any] = {"operands": 2, "operators": "-", "max_tokens": 8, "reward": "dense"}


def test_stable_baselines3_ppo_learns() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    tokenizer = char_tokenizer("0123456789-=?\n")
    envs = make_vec_env(lambda: OneHotView(gymnasium.make(ID, tokenizer=tokenizer, **EASY)), n_envs=32, seed=0)
    knobs: dict[str, Any] = {"n_steps": 64, "batch_size": 512, "n_epochs": 4, "learning_rate": 3e-3}
    model = PPO("MlpPolicy", envs, gamma=0.5, gae_lambda=1.0, ent_coef=0.01, seed=0, device="cpu", **knobs)
    returns, right = list[float](), list[bool]()

    def note(locals: dict[str, Any], _: dict[str, Any]) -> bool:
        ended = [info for info in locals["infos"] if "episode" in info]
        returns.extend(info["episode"]["r"] for info in ended)
        right.extend(info["verdict"].correct for info in ended)
        return True

    model.learn(30 * 32 * 64, callback=note)
    tenth = len(returns) // 10
    # Answering 0 is right one time in nine and earns 1.5/9; what is beyond that was read from the question.
    assert np.mean(returns[:tenth]) < 0.05 < 1.5 / 9 < np.mean(returns[-tenth:])
    assert np.mean(right[:tenth]) < 0.05 < 1 / 9 < np.mean(right[-tenth:])


@pytest.mark.parametrize("wrap", [lambda env: env, OneHotView, ActionMask], ids=["plain", "one-hot", "masked"])
@pytest.mark.filterwarnings("error")
def test_stable_baselines3_finds_nothing_wrong(wrap: Any) -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_checker import check_env

    env = wrap(gymnasium.make(ID, **EASY))
    check_env(env)
    policy = "MlpPolicy" if wrap is OneHotView else "MultiInputPolicy"
    PPO(policy, env, n_steps=8, batch_size=8, n_epochs=1, device="cpu").learn(8)


def test_masked_ppo_of_sb3_contrib_can_ask_for_the_mask() -> None:
    # It looks for the method through all wrappers, and takes the logits of what is masked out as -1e8.
    env = OneHotView(ActionMask(gymnasium.make(ID, **EASY), alphabet="0123456789-="))
    _, info = env.reset(seed=0)
    mask = env.get_wrapper_attr("action_masks")()
    assert mask.dtype == bool
    assert mask.tolist() == [bool(m) for m in info["action_mask"]]
    assert mask.sum() == 13  # twelve characters and EOS


def test_torchrl_agrees_with_the_specs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about itself
        from torchrl.envs import GymEnv
        from torchrl.envs.utils import check_env_specs

        check_env_specs(GymEnv(ID, size=20), seed=0)  # in which a number is a one-hot row, as TorchRL likes it
        env = GymEnv(ID, size=20, categorical_action_encoding=True)
        check_env_specs(env, seed=0)
        rollout = env.rollout(5)
    assert rollout["next", "length"].flatten().diff().tolist() == [1] * (len(rollout) - 1)


def test_plain_ppo_runs_and_learns() -> None:
    spec = importlib.util.spec_from_file_location("plain_ppo", ROOT / "docs" / "ppo.py")
    assert spec is not None
    assert spec.loader is not None
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    assert len(Path(spec.origin or "").read_text().splitlines()) <= 60
    returns = plain.train(iterations=20)
    assert np.mean(returns[:2]) < 0.03 < 0.09 < np.mean(returns[-2:])
