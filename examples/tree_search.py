"""Tree search: at evaluation, by agreement of answers, and as the sampler of expert iteration, by verdicts."""

import reasonenv

ENV = "reasonenv/Chain-Response-v0"
sums = {"operands": 2, "operators": "+", "size": 64, "max_tokens": 16, "eval_problems": 64}
prior = reasonenv.train("sft", ENV, iterations=30, lr=3e-3, problems_per_iteration=32, eval_every=30, **sums)

for search in ("best_of_n", "best_first", "tree"):  # independent draws first, at equal tokens
    measured = reasonenv.evaluate(prior, search=search, search_tokens=200, problems=64)
    print(f"{search}: {measured['search_accuracy'].value:.3f}, {measured['search_tokens'].value:.0f} tokens")

run = reasonenv.train("ei", ENV, policy=prior, iterations=1, search="tree", search_tokens=200, eval_every=1, **sums)
print(f"expert iteration on what the search selects: {run.summary['before']:.3f} -> {run.summary['after']:.3f}")
