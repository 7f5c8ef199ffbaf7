"""One whole GRPO iteration against TRL's GRPOTrainer, and the update alone against a plain transformers loop.

    python benchmarks/step_speed.py [--prompts 8] [--samples 8] [--tokens 64] [--repeats 3] [--device cpu]

Every contender is a process of its own: same model, same prompts, same reward (whether the sum of a response's ids is
odd), one AdamW step, log-probs and entropy computed, 8 rows through the model at once. Memory is the most that the
process held, on a GPU the most that it had allocated there.

* `ours`: torch sampler, GRPO with beta 0, one optimiser step on all samples.
* `trl`: GRPOTrainer with loss_type "grpo", beta 0, micro-batches of 8 and no gradient checkpointing, its fastest way on
  a CPU, run by the interpreter of `make install-peers` (.venv-peers).
* `plain`: `model.generate`, then full logits of the responses, micro-batches of 8, loss, backward, AdamW.
* `ours_long` and `plain_long`: the update alone where prompts are long: 2 prompts of 448 tokens.

A contender's first iteration is not counted. Figures are medians; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
LONG_PROMPTS, LONG_TOKENS = 2, 448
MICRO = 8  # rows in one pass; ours share their prompt
LR = 1e-6
THINGS = ("apples", "marbles", "tickets", "stamps", "shells", "coins", "cards", "pencils")

Job = dict[str, Any]  # what every contender is given: model, prompts, samples, tokens, repeats


def reward(ids: list[int]) -> float:
    """Half of all responses earn it, whatever the policy can do, so every group teaches."""
    return float(sum(ids) % 2)


def questions(count: int) -> list[str]:
    """Word problems that need some steps."""
    asked = []
    for n in range(count):
        thing = THINGS[n % len(THINGS)]
        asked.append(
            f"Ada has {11 + 7 * n} {thing}, finds {5 + 3 * n} more, loses 2 and shares all that are left equally among "
            f"{3 + n % 5} friends. How many {thing} were there to share?\nThink step by step."
        )
    return asked


def clock(device: str) -> float:
    """Seconds, when all that was begun on the device is done."""
    import torch

    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def report(iterations: list[float], updates: list[float], tokens: float, device: str) -> None:
    """What a contender says of itself."""
    import torch

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if device != "cpu":
        peak = torch.cuda.max_memory_allocated() / 2**30
    print(json.dumps({"iterations": iterations, "updates": updates, "tokens": tokens, "peak_gb": round(peak, 2)}))


def ours(job: Job) -> None:
    """Our sampler and our agent."""
    from dataclasses import replace

    import numpy as np

    from reasonenv.agents.grpo import GRPO, GRPOConfig
    from reasonenv.core import Group, Problem, Reason, Trajectory, Verdict
    from reasonenv.learn.agent import Budget
    from reasonenv.policy.pretrained import load_policy
    from reasonenv.sampling.sampler import Sampling
    from reasonenv.sampling.torch.torch_sampler import TorchSampler
    from reasonenv.seeding import derive_seed

    policy = load_policy(job["policy"], dtype=job["dtype"], device=job["device"])
    long = job["contender"] == "ours_long"
    rng = np.random.default_rng(0)
    if long:
        prompts = [rng.integers(1000, 40000, LONG_TOKENS) for _ in range(LONG_PROMPTS)]
    else:
        prompts = [np.array(policy.tokenizer.encode(text)) for text in job["texts"]]
        sampler = TorchSampler(policy)
    micro = max(map(len, prompts)) + MICRO * job["tokens"]
    agent = GRPO(policy, GRPOConfig(lr=LR, beta=0.0, samples_per_problem=job["samples"], tokens_per_microbatch=micro))

    def trajectory(n: int, ids: np.ndarray, logprobs: np.ndarray) -> Trajectory:
        earned = np.zeros(len(ids), dtype=np.float32)
        earned[-1] = reward(ids.tolist())
        known = Verdict(Reason.of(bool(earned[-1])), None, "")
        roles, ends = np.ones(len(ids), dtype=np.int8), np.array([len(ids) - 1])
        versions = np.zeros(len(ids), dtype=np.int64)
        return Trajectory(problems[n], prompts[n], ids, roles, logprobs, versions, earned, ends, False, True, known)

    problems = [Problem(str(n), "", "") for n in range(len(prompts))]
    iterations, updates, made = [], [], []
    for repeat in range(job["repeats"] + 1):
        start = clock(job["device"])
        rows = []  # of each prompt the ids of its samples, with their log-probabilities
        if long:
            for _ in prompts:
                drawn = [rng.integers(1000, 40000, job["tokens"]) for _ in range(job["samples"])]
                rows.append([(ids, np.zeros(len(ids), dtype=np.float32)) for ids in drawn])
        else:
            seeds = []
            for n in range(len(prompts)):
                seeds.append([derive_seed(repeat, n, g) for g in range(job["samples"])])
            sampler.sync(repeat)
            results = sampler.generate(prompts, seeds, Sampling(job["tokens"]))
            sampler.release()
            for completions in results:
                rows.append([(c.tokens, c.logprobs) for c in completions])
        groups = []
        for n, row in enumerate(rows):
            groups.append(Group(problems[n], tuple(trajectory(n, ids, logprobs) for ids, logprobs in row)))
        middle = clock(job["device"])
        # the rewards of random ids are so too, and a group of equal ones would be skipped
        groups = [replace(g, trajectories=_mixed(g.trajectories)) for g in groups]
        metrics = agent.learn(groups, Budget(repeat, job["repeats"] + 1))
        assert metrics["updates"] == 1
        iterations.append(clock(job["device"]) - start)
        updates.append(clock(job["device"]) - middle)
        made.append(sum(len(ids) for row in rows for ids, _ in row))
    report(iterations[1:], updates[1:], statistics.median(made), job["device"])


def _mixed(trajectories: Any) -> Any:
    """The first earns nothing and the second all, so that no group is skipped however few samples it has."""
    for t, value in zip(trajectories, (0.0, 1.0), strict=False):
        t.rewards[-1] = value
    return trajectories


def plain(job: Job) -> None:
    """What one writes first: generate, full logits, loss, backward."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = job["device"]
    model = AutoModelForCausalLM.from_pretrained(job["policy"], dtype=getattr(torch, job["dtype"])).to(device)
    tokenizer = AutoTokenizer.from_pretrained(job["policy"], padding_side="left")
    adamw = torch.optim.AdamW(model.parameters(), lr=LR)
    torch.manual_seed(0)
    long = job["contender"] == "plain_long"
    iterations, updates, made = [], [], []
    for _ in range(job["repeats"] + 1):
        start = clock(job["device"])
        if long:
            asked = torch.randint(1000, 40000, (LONG_PROMPTS, LONG_TOKENS)).repeat_interleave(job["samples"], 0)
            drawn = torch.randint(1000, 40000, (len(asked), job["tokens"]))
            seen = torch.ones(len(asked), LONG_TOKENS + job["tokens"], dtype=torch.int64)
            counts = torch.ones(drawn.shape)
        else:
            batch = tokenizer(job["texts"], return_tensors="pt", padding=True, add_special_tokens=False)
            batch = batch.to(device)
            with torch.no_grad():
                whole = model.generate(
                    **batch,
                    do_sample=True,
                    top_k=0,
                    top_p=1.0,
                    temperature=1.0,
                    num_return_sequences=job["samples"],
                    max_new_tokens=job["tokens"],
                )
            asked = batch["input_ids"].repeat_interleave(job["samples"], 0)
            drawn = whole[:, asked.shape[1] :]
            ended = (drawn == tokenizer.eos_token_id).int()
            counts = (ended.cumsum(1) - ended == 0).float()  # up to and with the first EOS
            seen = torch.cat([batch["attention_mask"].repeat_interleave(job["samples"], 0), counts.long()], 1)
        asked, drawn, seen, counts = (x.to(device) for x in (asked, drawn, seen, counts))
        middle = clock(device)
        earned = torch.tensor([reward(row) for row in drawn.tolist()], device=device)
        earned = earned.view(-1, job["samples"])
        earned[:, 0], earned[:, 1] = 0.0, 1.0
        advantage = ((earned - earned.mean(1, keepdim=True)) / (earned.std(1, keepdim=True) + 1e-6)).flatten()
        for rows in torch.arange(len(drawn)).split(MICRO):
            ids = torch.cat([asked[rows], drawn[rows]], 1)
            logits = model(ids, attention_mask=seen[rows]).logits[:, asked.shape[1] - 1 : -1].float()
            every = logits.log_softmax(-1)
            logp = every.gather(2, drawn[rows, :, None])[:, :, 0]
            with torch.no_grad():
                float((-(every.exp() * every).sum(-1) * counts[rows]).sum())  # entropy, for the log
            ratio = (logp - logp.detach()).exp()
            loss = -(ratio * advantage[rows, None] * counts[rows]).sum(1) / counts[rows].sum(1)
            (loss.sum() / len(drawn)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad()
        iterations.append(clock(job["device"]) - start)
        updates.append(clock(job["device"]) - middle)
        made.append(float(counts.sum()))
    report(iterations[1:], updates[1:], statistics.median(made), job["device"])


def trl(job: Job) -> None:
    """TRL's trainer, as fast as it goes without a GPU."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    rows = len(job["texts"]) * job["samples"]
    micro = min(MICRO, rows)
    made: list[int] = []

    def odd(completion_ids: list[list[int]], **_: Any) -> list[float]:
        made.append(sum(map(len, completion_ids)))
        return [reward(ids) for ids in completion_ids]

    class Clock(TrainerCallback):
        """When each optimiser step was over."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.times.append(clock(job["device"]))

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.times.append(clock(job["device"]))

    watch = Clock()
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder,
            use_cpu=job["device"] == "cpu",
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=rows // micro,
            num_generations=job["samples"],
            max_completion_length=job["tokens"],
            max_steps=job["repeats"] + 1,
            gradient_checkpointing=False,
            loss_type="grpo",
            beta=0.0,
            temperature=1.0,
            learning_rate=LR,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(job["policy"], dtype=getattr(torch, job["dtype"])),
            processing_class=AutoTokenizer.from_pretrained(job["policy"], padding_side="left"),
            reward_funcs=odd,
            args=config,
            train_dataset=Dataset.from_list([{"prompt": text} for text in job["texts"]]),
            callbacks=[watch],
        )
        trainer.train()
    seconds = [after - before for before, after in zip(watch.times, watch.times[1:], strict=False)]
    report(seconds[1:], [], statistics.median(made), job["device"])


CONTENDERS = {"ours": ours, "plain": plain, "trl": trl, "ours_long": ours, "plain_long": plain}


def elsewhere(python: Path | str, job: Job) -> dict[str, Any]:
    """A contender in a process of its own."""
    command = [str(python), str(Path(__file__).resolve()), "--job", json.dumps(job)]
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **quiet})
    if done.returncode:
        raise SystemExit(f"{job['contender']} failed:\n{done.stderr[-3000:]}")
    results: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="smollm2-135m")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--peers", type=Path, default=PEERS, help="the interpreter that has TRL")
    parser.add_argument("--job", help=argparse.SUPPRESS)  # how it calls itself for one contender
    arguments = parser.parse_args()
    if arguments.job:
        job = json.loads(arguments.job)
        CONTENDERS[job["contender"]](job)
        return
    import sys

    from reasonenv.policy.pretrained import load_policy

    policy = load_policy(arguments.policy, dtype=arguments.dtype)
    texts = [policy.tokenizer.chat([question]) for question in questions(arguments.prompts)]
    job = {"policy": policy.source, "dtype": arguments.dtype, "texts": texts}
    job |= {"device": arguments.device}
    job |= {"samples": arguments.samples, "tokens": arguments.tokens, "repeats": arguments.repeats}
    del policy
    results: dict[str, dict[str, Any]] = {}
    print(f"{'contender':<12} {'iteration s':>12} {'update s':>10} {'tokens':>8} {'peak GB':>9}")
    for name in arguments.only:
        if name == "trl" and not arguments.peers.exists():
            print("TRL is missing here: make install-peers")
            continue
        results[name] = elsewhere(arguments.peers if name == "trl" else sys.executable, {**job, "contender": name})
        whole, update = (_median(results[name][key]) for key in ("iterations", "updates"))
        shown = "-" if name.endswith("_long") else f"{whole:.2f}"
        print(
            f"{name:<12} {shown:>12} {'-' if update is None else f'{update:.2f}':>10} "
            f"{results[name]['tokens']:>8.0f} {results[name]['peak_gb']:>9.2f}",
            flush=True,
        )
    figures = {f"{name}_iteration_s": _median(f["iterations"]) for name, f in results.items() if "long" not in name}
    figures |= {f"{name}_update_s": _median(f["updates"]) for name, f in results.items() if f["updates"]}
    figures |= {f"{name}_peak_gb": f["peak_gb"] for name, f in results.items()}
    ratios = {}
    for name, ours_, peer in (
        ("iteration_trl_over_ours", "ours_iteration_s", "trl_iteration_s"),
        ("iteration_plain_over_ours", "ours_iteration_s", "plain_iteration_s"),
        ("update_plain_over_ours", "ours_update_s", "plain_update_s"),
        ("long_update_plain_over_ours", "ours_long_update_s", "plain_long_update_s"),
        ("peak_trl_over_ours", "ours_peak_gb", "trl_peak_gb"),
    ):
        if ours_ in figures and peer in figures:
            ratios[name] = round(figures[peer] / figures[ours_], 2)
    rounded = {name: round(value, 3) for name, value in figures.items()}
    setup = {"policy": arguments.policy, "dtype": arguments.dtype, "device": arguments.device}
    print(json.dumps(setup | {"figures": rounded, "ratios": ratios}))


def _median(values: list[float]) -> Any:
    return statistics.median(values) if values else None


if __name__ == "__main__":
    main()
