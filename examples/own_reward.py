"""A reward of one's own, trained: a policy that writes bytes at random learns to fill its budget with digits.

The function gets what its parameters name: the response, and the state at its end."""

import reasonenv


def digits(text, after):
    return sum(character in "0123456789" for character in text) / after.budget


settings = {"operands": 2, "max_tokens": 16, "problems_per_iteration": 8, "samples_per_problem": 16, "eval_problems": 8}
run = reasonenv.train("grpo", "reasonenv/Chain-Response-v0", iterations=40, reward=digits, lr=1e-3, beta=0, **settings)
rewards = run.metrics()["reward"].dropna()
print(f"reward: {rewards.iloc[0]:.3f} -> {rewards.iloc[-1]:.3f}")
assert rewards.iloc[-1] > 0.5
