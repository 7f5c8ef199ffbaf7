"""Tree search: at evaluation, by agreement of answers, and as the sampler of expert iteration, by verdicts."""

import reasonenv

ENV = "reasonenv/Chain-Response-v0"
EASY = {"operands": 3, "operators": "+", "eval_problems": 60, "quiet": True}
prior = reasonenv.train("sft", ENV, iterations=140, lr=3e-3, curriculum="operands:3*31,2", eval_every=140, **EASY)

for search in ("best_of_n", "best_first", "tree"):  # independent draws first, at equal tokens
    measured = reasonenv.evaluate(prior, search=search, search_tokens=400, quiet=True)
    print(f"{search}: {measured['search_accuracy'].value:.3f}, {measured['search_tokens'].value:.0f} tokens")
    assert measured["search_tokens"].value <= 400

run = reasonenv.train(
    "ei", ENV, policy=prior, iterations=1, problems_per_iteration=128, search="tree", search_tokens=300, **EASY
)
print(f"expert iteration on what the search selects: {run.summary['before']:.3f} -> {run.summary['after']:.3f}")
assert run.summary["after"] > run.summary["before"]
