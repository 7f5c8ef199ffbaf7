"""A Gymnasium loop over a token environment: an action is one token, and each reward comes with its terms."""

import gymnasium as gym

settings = {"operands": 2, "operators": "+", "reward": "dense", "render_mode": "ansi"}
env = gym.make("reasonenv:reasonenv/Chain-Token-v0", **settings)
tokenizer = env.unwrapped.mdp.tokenizer
observation, info = env.reset(seed=0)
question = info["question"].removesuffix("=?")  # such as 3+4
total = sum(map(int, question.split("+")))
plan = [*tokenizer.encode(f"{question}={total}\n#### {total}"), tokenizer.eos_id]
terminated = truncated = False
while not (terminated or truncated):
    action = plan.pop(0)  # a policy would choose it by the observation
    observation, reward, terminated, truncated, info = env.step(action)
print(env.render())
assert info["is_success"], info["verdict"]
