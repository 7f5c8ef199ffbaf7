"""Partial credit, trained: a verifier that returns a score, and an agent that is made for graded rewards."""

import reasonenv


def places(text, problem):  # 1 is right; all else is the share of the places that are
    answer, gold = text.removeprefix("#### "), problem.answer
    return sum(a == b for a, b in zip(answer, gold, strict=False)) / max(len(answer), len(gold))


rows = [(f"{a} and {b}", f"{b}{a}") for a in range(10, 60) for b in range(10, 60, 7)]
task = reasonenv.from_problems(rows, verifier=places, name="Swap", max_tokens=16)
settings = {"eval_problems": 100, "problems_per_iteration": 16, "quiet": True}
prior = reasonenv.train("sft", task, iterations=18, lr=3e-3, **settings)
run = reasonenv.train("tailrl", task, policy=prior, iterations=20, reward="score", lr=3e-4, warmup=4, **settings)
scores = run.metrics()["eval/score"].dropna()
print(f"score of greedy answers: {scores.iloc[0]:.3f} -> {scores.iloc[-1]:.3f}")
assert scores.iloc[-1] > scores.iloc[0]
