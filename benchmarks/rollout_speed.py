"""Tokens a second: the torch sampler against `model.generate` and against vLLM, on the same prompts and machine.

    python benchmarks/rollout_speed.py [--policy smollm2-135m] [--device cuda] [--dtype float32] [--repeats 3]
        [--only torch,generate]

The first 8 questions of GSM8K's test set x 8 samples x 128 new tokens at temperature 1. No contender
ends at EOS, so that each sample has its whole budget; every token is counted, and a count that falls short is an error.

* `torch`: the torch sampler, its head in float32 as in training.
* `generate`: transformers, one left-padded batch with `num_return_sequences`, head and all in the policy's dtype.
* `vllm`: its `LLM`, eager, threads bound to all cores, prefix cache on, `n` samples a request without seeds, log-probs
  of the sampled tokens, and its head in the policy's dtype: faster than the seeds and the float32 head that training
  asks of it. Left out if it is not installed.

They take turns within one sitting after a short round that is not counted; figures are medians. "Of peak" is what a
token's matrix products (2 FLOP a weight) need of the best square product measured here, in the policy's dtype. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from reasonenv.core import IntArray
from reasonenv.mdp.make import make_mdp
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.pretrained import load_policy, quiet
from reasonenv.sampling.sampler import Sampling
from reasonenv.sampling.torch.torch_sampler import TorchSampler
from reasonenv.seeding import derive_seed

PROMPTS, SAMPLES, TOKENS = 8, 8, 128
WARM_UP = 4  # tokens a sample in the round that is not counted
CONTENDERS = ("torch", "generate", "vllm")


def rollouts(sampler: TorchSampler, prompts: list[IntArray], repeat: int, tokens: int) -> int:
    """Tokens produced by our sampler, `tokens` a sample."""
    seeds = []
    for n in range(len(prompts)):
        seeds.append([derive_seed("speed", repeat, n, g) for g in range(SAMPLES)])
    rows = sampler.generate(prompts, seeds, Sampling(tokens))
    return sum(len(completion.tokens) for row in rows for completion in row)


def generate_rollouts(policy: HFPolicy, prompts: list[IntArray], repeat: int, budget: int) -> int:
    """Tokens produced by `model.generate`."""
    from transformers import GenerationConfig

    width = max(map(len, prompts))
    tokens, mask = torch.zeros(2, len(prompts), width, dtype=torch.int64, device=policy.device)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = torch.from_numpy(prompt)
        mask[row, width - len(prompt) :] = 1
    config = GenerationConfig(
        max_new_tokens=budget,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        num_return_sequences=SAMPLES,
        pad_token_id=0,
    )
    with quiet(), torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(repeat)
        drawn = policy.model.generate(tokens, attention_mask=mask, generation_config=config)
    return int(drawn[:, width:].cpu().numel())


def vllm_rollouts(engine: Any, prompts: list[IntArray], repeat: int, budget: int) -> int:
    """Tokens produced by a `vllm.LLM` as it likes best: all samples of a prompt in one request, and no seeds."""
    from vllm import SamplingParams

    params = SamplingParams(n=SAMPLES, max_tokens=budget, ignore_eos=True, logprobs=0, detokenize=False)
    asked = [{"prompt_token_ids": prompt.tolist()} for prompt in prompts]
    outputs = engine.generate(asked, params, use_tqdm=False)
    return sum(len(out.token_ids) for answer in outputs for out in answer.outputs)


def product_speed(dtype: torch.dtype, device: torch.device, size: int = 2048) -> float:
    """Floating-point operations a second in the best of 5 square matrix products."""
    a = torch.ones(size, size, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        (a @ a)[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="smollm2-135m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default=None, help="default: what load_policy chooses on this machine")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default=",".join(CONTENDERS), help="some of the contenders, separated by commas")
    arguments = parser.parse_args()
    policy = load_policy(arguments.policy, device=arguments.device, dtype=arguments.dtype)
    mdp = make_mdp("GSM8K", tokenizer=policy.tokenizer, split="test")
    prompts = [mdp.prompts[i] for i in range(PROMPTS)]
    # A token that nobody can draw; `generate` reads the model's own, which is taken from it.
    policy.tokenizer.eos_id = policy.head.weight.shape[0]
    policy.tokenizer.ends = (policy.tokenizer.eos_id,)
    policy.model.generation_config.eos_token_id = None
    runs: dict[str, Callable[[int, int], int]] = {}
    figures = {}
    with contextlib.ExitStack() as stack:
        for name in arguments.only.split(","):
            if name == "torch":
                sampler = TorchSampler(policy)
                start = time.perf_counter()
                sampler.sync(0)
                figures["sync_seconds"] = round(time.perf_counter() - start, 3)
                runs[name] = partial(rollouts, sampler, prompts)
            elif name == "generate":
                runs[name] = partial(generate_rollouts, policy, prompts)
            elif name != "vllm":
                parser.error(f"--only names {name!r}; the contenders are {', '.join(CONTENDERS)}")
            elif importlib.util.find_spec("vllm"):
                from reasonenv.sampling.vllm.vllm_sampler import VLLMSampler

                served = stack.enter_context(contextlib.closing(VLLMSampler(policy, head_dtype="model")))
                runs[name] = partial(vllm_rollouts, served.engine.llm, prompts)
        speeds: dict[str, list[float]] = {name: [] for name in runs}
        for repeat in range(arguments.repeats + 1):
            for name, run in runs.items():
                budget = TOKENS if repeat else WARM_UP
                start = time.perf_counter()
                count = run(repeat, budget)
                speed = count / (time.perf_counter() - start)
                if count != PROMPTS * SAMPLES * budget:
                    raise SystemExit(f"{name} made {count} tokens instead of {PROMPTS * SAMPLES * budget}")
                if repeat:
                    speeds[name].append(speed)
                    print(f"{repeat}/{arguments.repeats} {name}: {speed:.0f} tokens a second", flush=True)
    weights = sum(m.weight.numel() for m in policy.model.modules() if type(m) is torch.nn.Linear)
    peak = product_speed(policy.dtype, policy.device)
    dtype = str(policy.dtype).removeprefix("torch.")
    lengths = [len(prompt) for prompt in prompts]
    print(f"{arguments.policy} {dtype} on {policy.device}, {torch.get_num_threads()} threads, ", end="")
    print(f"{PROMPTS} prompts of {min(lengths)}-{max(lengths)} tokens x {SAMPLES} samples x {TOKENS} tokens")
    print(f"square products {peak / 1e9:.0f} GFLOP/s, {2 * weights / 1e6:.0f} MFLOP a token")
    print(f"{'sampler':<10} {'tokens/s':>9} {'min':>9} {'max':>9} {'of peak':>9}")
    for name, each in speeds.items():
        median = statistics.median(each)
        share = median * 2 * weights / peak
        print(f"{name:<10} {median:>9.0f} {min(each):>9.0f} {max(each):>9.0f} {share:>9.0%}")
        figures |= {f"{name}_tokens_per_second": round(median, 1), f"{name}_share_of_peak": round(share, 3)}
    ours = statistics.median(speeds.get("torch", [0.0]))
    ratios = {f"torch_over_{n}": round(ours / statistics.median(speeds[n]), 2) for n in speeds if n != "torch"}
    print(json.dumps({"policy": arguments.policy, "dtype": dtype, "figures": figures, "ratios": ratios}))


if __name__ == "__main__":
    main()
