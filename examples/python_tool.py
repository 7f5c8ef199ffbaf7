"""The Python tool, trained: of two habits, to guess and to ask Python, the rewarded one stays. Takes --sampler vllm."""

from sys import argv

import reasonenv

rows = []
for n in range(64):  # transcripts of both habits, from which the prior learns
    terms, value = f"{n % 8 // 2}+{n // 16}", n % 8 // 2 + n // 16
    asked = [f"<python>{terms}</python><eos>", f"<output>{value}</output>"]
    form = {"steps": asked, "answer_form": "#### {}"} if n % 2 else {"steps": [], "answer_form": "#### 9"}
    rows.append({"question": f"{terms}=?", "answer": str(value), **form})
sums = reasonenv.from_problems(rows, name="Sums", steps="steps", verifier=reasonenv.verify.grade.verify_math)
tool = {"tools": "python", "max_tokens": 60, "eval_problems": 4, "eval_every": 50, "quiet": True}
more = {"sampler": "vllm" if "vllm" in argv else "torch", "problems_per_iteration": 16, "samples_per_problem": 8}

if __name__ == "__main__":  # vLLM starts processes, which read this file too
    prior = reasonenv.train("sft", sums, iterations=45, lr=3e-3, **tool)
    run = reasonenv.train("grpo", sums, policy=prior, iterations=7, lr=2e-4, beta=0, **tool, **more)
    assert run.metrics()["reward"].iloc[-1] > run.metrics()["reward"].iloc[1]
