"""PPO of Stable-Baselines3 on differences of two digits, one token a character (pip install stable-baselines3)."""

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from reasonenv.mdp.wrappers import OneHotView
from reasonenv.tokenizer import char_tokenizer

settings = {"operands": 2, "operators": "-", "max_tokens": 8, "reward": "dense"}
settings["tokenizer"] = char_tokenizer("0123456789-=?\n")
envs = make_vec_env(lambda: OneHotView(gym.make("reasonenv/Chain-Token-v0", **settings)), n_envs=32, seed=0)
how = {"n_steps": 64, "batch_size": 512, "n_epochs": 4, "learning_rate": 3e-3, "ent_coef": 0.01}
model = PPO("MlpPolicy", envs, gamma=0.5, gae_lambda=1.0, seed=0, device="cpu", **how)
before, _ = evaluate_policy(model, envs, n_eval_episodes=200)
model.learn(40_000)
after, _ = evaluate_policy(model, envs, n_eval_episodes=200)
print(f"mean reward of an episode: {before:.3f} -> {after:.3f}")
assert after > before
