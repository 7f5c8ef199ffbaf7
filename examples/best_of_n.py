"""Best-of-n distillation: draw 8 answers to each problem, imitate the best, draw again."""

import reasonenv

ENV = "reasonenv/Chain-Response-v0"
sums = {"operands": 3, "operators": "+", "max_tokens": 32, "eval_problems": 60}
prior = reasonenv.train("sft", ENV, iterations=70, lr=3e-3, eval_every=70, **sums)
run = reasonenv.train(
    "best_of_n", ENV, policy=prior, iterations=6, samples_per_problem=8, problems_per_iteration=32, eval_every=6, **sums
)
print(f"greedy accuracy {run.summary['before']:.3f} -> {run.summary['after']:.3f}")
assert run.summary["after"] > run.summary["before"]
