"""Best-of-n distillation: draw 8 answers to each problem, imitate the best, draw again.

The prior has learned sums of two last, so it stops a step early; what it can do shows in the best of its samples."""

import reasonenv

ENV = "reasonenv/Chain-Response-v0"
EASY = {"operands": 3, "operators": "+", "eval_problems": 100, "eval_every": 6, "quiet": True}
prior = reasonenv.train("sft", ENV, iterations=140, lr=3e-3, curriculum="operands:3*31,2", **EASY)
run = reasonenv.train(
    "best_of_n", ENV, policy=prior, iterations=12, samples_per_problem=8, problems_per_iteration=64, **EASY
)
print(f"greedy accuracy {run.summary['before']:.3f} -> {run.summary['after']:.3f}")
assert run.summary["gain"]["low"] > 0
