"""Train, measure, go on and report from Python: a prior that stops a step too early, and GRPO that mends it."""

from tempfile import mkdtemp

import reasonenv

ENV = "reasonenv/Chain-Response-v0"
EASY = {"operands": 3, "operators": "+", "eval_problems": 100, "eval_every": 4, "quiet": True}
BATCH = {"problems_per_iteration": 64, "samples_per_problem": 8, "warmup": 2, "lr": 1e-4, "beta": 0}
out = mkdtemp()
prior = reasonenv.train("sft", ENV, out=f"{out}/prior", iterations=140, lr=3e-3, curriculum="operands:3*31,2", **EASY)
print(prior)
run = reasonenv.train("grpo", ENV, policy=prior, out=f"{out}/grpo", iterations=4, **BATCH, **EASY)
run = run.resume(iterations=8, callbacks=[lambda row: print(row["iteration"], row["reward"])], quiet=True)
print(run, run.evaluate(samples=4, quiet=True), sep="\n")
assert run.summary["after"] > run.summary["before"]
print("report:", reasonenv.report([prior, run], out=f"{out}/report"))
