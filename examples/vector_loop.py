"""Text in, text out, on a vector environment: 8 questions at once, and a new one in each row that is answered."""

import gymnasium as gym


def answer(question: str) -> str:  # a model would write this
    return f"#### {sum(map(int, question.removesuffix('=?').split('+')))}"


settings = {"operands": 3, "operators": "+", "autoreset_mode": "SameStep"}
envs = gym.make_vec("reasonenv:reasonenv/Chain-Response-v0", num_envs=8, **settings)
tokenizer, right = envs.unwrapped.mdp.tokenizer, 0
observations, infos = envs.reset(seed=0)
for _ in range(4):
    actions = tokenizer.encode_all([answer(question) for question in infos["question"]])
    observations, rewards, terminated, truncated, infos = envs.step(actions)
    right += infos["final_info"]["is_success"].sum()  # infos["question"] holds the next questions
print(f"{right} of 32 answers are right, one was {infos['final_info']['response'][0]!r}")
assert right == 32
