"""Best-of-n distillation: draw 8 answers to each problem, imitate the best, draw again.

The prior has learned sums of two last, so it stops a step early; what it can do shows in the best of its samples."""

import reasonenv

ENV = "reasonenv/Chain-Response-v0"
sums = {"operands": 3, "operators": "+", "max_tokens": 32, "eval_problems": 60}
lessons = {"lr": 3e-3, "curriculum": "operands:3*31,2", "eval_every": 140}
prior = reasonenv.train("sft", ENV, iterations=140, **lessons, **sums)
run = reasonenv.train(
    "best_of_n", ENV, policy=prior, iterations=6, samples_per_problem=8, problems_per_iteration=32, eval_every=6, **sums
)
print(f"greedy accuracy {run.summary['before']:.3f} -> {run.summary['after']:.3f}")
assert run.summary["after"] > run.summary["before"]
