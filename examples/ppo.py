"""PPO on the batched token environment in one short file, in the style of CleanRL: python examples/ppo.py

The vocabulary is one token a character, so the policy is a small network over the whole sequence. Sums of two digits;
reward 1 for the right number and 0.1 for any, which leads the way. A truncated episode is bootstrapped, a terminated
one is not (1707.06347; 1506.02438).
"""

import argparse

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.nn.functional import one_hot

from reasonenv.core import Problem
from reasonenv.mdp.rewards import Progress
from reasonenv.tokenizer import char_tokenizer

ENVS, STEPS, EPOCHS, MINIBATCH = 64, 32, 4, 512
LR, GAMMA, LAM, CLIP, ENTROPY = 3e-3, 1.0, 0.95, 0.2, 0.01


def number(problem: Problem, before: Progress, after: Progress) -> float:
    return 0.1 * (after.verdict is not None and after.verdict.extracted is not None)


class ActorCritic(nn.Module):
    def __init__(self, context: int, vocab: int) -> None:
        super().__init__()
        self.context, self.vocab = context, vocab
        self.body = nn.Sequential(nn.Linear(context * (vocab + 1), 128), nn.Tanh())
        self.actor, self.critic = nn.Linear(128, vocab), nn.Linear(128, 1)

    def forward(self, obs: dict[str, np.ndarray]) -> tuple[torch.distributions.Categorical, torch.Tensor]:
        tokens, length = torch.as_tensor(obs["tokens"]), torch.as_tensor(obs["length"])  # [n, L], [n]
        shown = torch.where(torch.arange(self.context) < length[:, None], tokens, self.vocab)  # V: nothing there yet
        hidden = self.body(one_hot(shown, self.vocab + 1).flatten(1).float())
        return torch.distributions.Categorical(logits=self.actor(hidden)), self.critic(hidden)[:, 0]


def train(iterations: int, seed: int = 0) -> list[float]:
    """The mean return of the episodes that ended in each iteration."""
    torch.manual_seed(seed)
    knobs = {
        "operands": 2,
        "operators": "+",
        "max_tokens": 4,
        "reward": ["sparse", number],
        "tokenizer": char_tokenizer("0123456789+=?\n"),
    }
    envs = gym.make_vec("reasonenv/Chain-Token-v0", ENVS, autoreset_mode="SameStep", **knobs)
    model = ActorCritic(envs.single_observation_space["tokens"].shape[0], int(envs.single_action_space.n))
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    obs, _ = envs.reset(seed=seed)
    history = []
    for iteration in range(iterations):
        seen, actions, logps, values, rewards, dones, returns = [], [], [], [], [], [], []
        for _ in range(STEPS):
            with torch.no_grad():
                policy, value = model(obs)
                action = policy.sample()
            seen.append(obs)
            obs, reward, terminated, truncated, infos = envs.step(action.numpy())
            returns += reward[terminated | truncated].tolist()  # there is no other before the end
            if truncated.any():  # the last state of a cut episode still has a value
                last = [infos["final_obs"][row] for row in np.flatnonzero(truncated)]
                with torch.no_grad():
                    reward[truncated] += GAMMA * model({k: np.stack([o[k] for o in last]) for k in obs})[1].numpy()
            for column, x in ((rewards, reward), (dones, terminated | truncated)):
                column.append(torch.as_tensor(x, dtype=torch.float32))
            for column, t in ((actions, action), (logps, policy.log_prob(action)), (values, value)):
                column.append(t)
        with torch.no_grad():
            following, advantage, advantages = model(obs)[1], torch.zeros(ENVS), []
        for t in reversed(range(STEPS)):
            delta = rewards[t] + GAMMA * following * (1 - dones[t]) - values[t]
            advantage = delta + GAMMA * LAM * advantage * (1 - dones[t])
            advantages.insert(0, advantage)
            following = values[t]
        b_obs = {k: np.concatenate([o[k] for o in seen]) for k in obs}
        b_action, b_logp, b_value, b_adv = (torch.cat(c) for c in (actions, logps, values, advantages))
        for _ in range(EPOCHS):
            for rows in torch.randperm(STEPS * ENVS).split(MINIBATCH):
                policy, value = model({k: v[rows] for k, v in b_obs.items()})
                ratio = (policy.log_prob(b_action[rows]) - b_logp[rows]).exp()
                adv = (b_adv[rows] - b_adv[rows].mean()) / (b_adv[rows].std() + 1e-8)
                gain = torch.min(ratio * adv, ratio.clamp(1 - CLIP, 1 + CLIP) * adv).mean()
                error = (value - b_adv[rows] - b_value[rows]).square().mean()
                optimizer.zero_grad()
                (0.5 * error - gain - ENTROPY * policy.entropy().mean()).backward()
                optimizer.step()
        history.append(float(np.mean(returns)))
        print(f"iteration {iteration:3d}  episodes {len(returns):4d}  return {history[-1]:.3f}", flush=True)
    return history


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=100)
    train(parser.parse_args().iterations)
