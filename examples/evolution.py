"""Evolutionary search: solutions recombine step by step; against as many tokens drawn independently."""

import reasonenv

ENV = "reasonenv/Chain-Response-v0"
EASY = {"operands": 3, "operators": "+", "eval_problems": 60, "quiet": True}
prior = reasonenv.train("sft", ENV, iterations=140, lr=3e-3, curriculum="operands:3*31,2", eval_every=140, **EASY)

for search in ("best_of_n", "evolution"):
    measured = reasonenv.evaluate(prior, search=search, search_tokens=400, quiet=True)
    print(f"{search}: {measured['search_accuracy'].value:.3f}, greedy {measured['greedy_accuracy'].value:.3f}")
    assert measured["search_tokens"].value <= 400

run = reasonenv.train(
    "ei", ENV, policy=prior, iterations=1, problems_per_iteration=128, search="evolution", search_tokens=300, **EASY
)
print(f"expert iteration: {run.summary['rollouts']} responses, {run.summary['tokens']} tokens drawn")
