"""PPO (1707.06347, 1506.02438) on differences of two digits, one token a character: python docs/ppo.py

A truncated episode is bootstrapped, a terminated one is not."""

import gymnasium as gym
import numpy as np
import torch
from torch.distributions import Categorical
from torch.nn import Linear, Sequential, Tanh

from reasonenv.tokenizer import char_tokenizer

ENVS, STEPS, EPOCHS, MINIBATCH, LR, GAMMA, LAM, CLIP, ENTROPY = 64, 32, 4, 512, 3e-3, 0.5, 1.0, 0.2, 0.003


def train(iterations: int, seed: int = 0) -> list[float]:  # the mean return of the episodes of each iteration
    torch.manual_seed(seed)
    settings = {"operands": 2, "operators": "-", "max_tokens": 8, "tokenizer": char_tokenizer("0123456789-=?\n")}
    envs = gym.make_vec("reasonenv/Chain-Token-v0", ENVS, autoreset_mode="SameStep", **settings)
    size, vocab = envs.single_observation_space["tokens"].shape[0], int(envs.single_action_space.n)
    actor, critic = (Sequential(Linear(size * (vocab + 1), 128), Tanh(), Linear(128, n)) for n in (vocab, 1))
    optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=LR)

    def seen(obs: dict) -> torch.Tensor:  # [n, L * (V + 1)] one-hot: where there is nothing yet, V
        shown = np.where(np.arange(size) < np.expand_dims(obs["length"], -1), obs["tokens"], vocab)
        return torch.eye(vocab + 1)[shown].flatten(1)

    x, history = seen(envs.reset(seed=seed)[0]), []
    for iteration in range(iterations):
        rows, returns = [], []
        for _ in range(STEPS):
            policy, value = Categorical(logits=actor(x).detach()), critic(x)[:, 0].detach()
            obs, reward, terminated, truncated, infos = envs.step((action := policy.sample()).numpy())
            returns += reward[ended := terminated | truncated].tolist()  # nothing is earned before the end
            for row in np.flatnonzero(truncated):  # the last state of a cut episode still has a value
                reward[row] += GAMMA * critic(seen({k: v[None] for k, v in infos["final_obs"][row].items()})).item()
            rows.append((x, action, policy.log_prob(action), value, torch.Tensor(reward), torch.Tensor(ended)))
            x = seen(obs)
        xs, actions, logps, values, rewards, ends = (torch.stack(column) for column in zip(*rows, strict=True))
        advantages, advantage, following = torch.zeros_like(values), 0.0, critic(x)[:, 0].detach()
        for t in reversed(range(STEPS)):
            advantage = rewards[t] - values[t] + GAMMA * (1 - ends[t]) * (following + LAM * advantage)
            advantages[t], following = advantage, values[t]
        flat = [column.flatten(0, 1) for column in (xs, actions, logps, advantages, advantages + values)]
        for chosen in (c for _ in range(EPOCHS) for c in torch.randperm(STEPS * ENVS).split(MINIBATCH)):
            b_x, b_action, b_logp, b_adv, b_target = (column[chosen] for column in flat)
            policy, b_adv = Categorical(logits=actor(b_x)), (b_adv - b_adv.mean()) / (b_adv.std() + 1e-8)
            ratio = (policy.log_prob(b_action) - b_logp).exp()
            gain = torch.min(ratio * b_adv, ratio.clamp(1 - CLIP, 1 + CLIP) * b_adv).mean()
            loss = 0.5 * (critic(b_x)[:, 0] - b_target).square().mean() - gain - ENTROPY * policy.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        history.append(float(np.mean(returns)))
        print(f"iteration {iteration:3d}  episodes {len(returns):4d}  return {history[-1]:.3f}", flush=True)
    return history


if __name__ == "__main__":
    train(iterations=100)
