"""Tokens a second: the torch sampler against the best of `model.generate` and of vLLM, on the same prompts and machine.

    python benchmarks/rollout_speed.py [--policy smollm2-135m] [--dtype float32] [--repeats 3] [--no-vllm]

8 word problems x 8 samples x 128 new tokens at temperature 1. `generate` gets one left-padded batch with
`num_return_sequences`, pure temperature sampling. vLLM runs eagerly with its threads bound to all cores, its prefix
cache on and its head in the policy's dtype, faster than the float32 head that training asks of it. Speed counts the
tokens that were really produced, up to and with EOS; all alternate within one sitting, and the figures are medians.
"Of peak" is the time that the matrix products alone would take, at the speed measured here, over the time taken. The
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

import numpy as np
import torch

from reasonenv.core import IntArray
from reasonenv.policy.lm import Policy
from reasonenv.policy.pretrained import load_policy, quiet
from reasonenv.sampling.sampler import Sampler, Sampling
from reasonenv.sampling.torch_sampler import TorchSampler
from reasonenv.seeding import derive_seed

PROMPTS, SAMPLES, TOKENS = 8, 8, 128


def word_problems(policy: Policy) -> list[IntArray]:
    """Arithmetic questions in the policy's own prompt form, as ids."""
    rng = np.random.default_rng(0)
    prompts = []
    for name, thing in zip(
        ("Ada", "Ben", "Chi", "Dev", "Eva", "Finn", "Gia", "Hal"),
        ("apples", "marbles", "tickets", "stamps", "shells", "coins", "cards", "pencils"),
        strict=True,
    ):
        a, b, c = rng.integers(3, 40, size=3)
        question = (
            f"{name} has {a} {thing}, finds {b} more and shares all of them equally among {c} friends after losing 2. "
        )
        question += f"How many {thing} were there to share?"
        tokenizer = policy.tokenizer
        text = tokenizer.chat([question + "\nThink step by step."]) if tokenizer.has_chat_template else question + "\n"
        prompts.append(np.array(tokenizer.encode(text)))
    return prompts


def rollouts(sampler: Sampler, prompts: list[IntArray], repeat: int) -> int:
    """Tokens produced by a sampler of ours."""
    seeds = [[derive_seed("speed", repeat, n, g) for g in range(SAMPLES)] for n in range(len(prompts))]
    rows = sampler.generate(prompts, seeds, Sampling(TOKENS, 1.0))
    return sum(len(completion.tokens) for row in rows for completion in row)


def generate_rollouts(policy: Policy, prompts: list[IntArray], repeat: int) -> int:
    """Tokens produced by `model.generate`."""
    from transformers import GenerationConfig

    eos, width = policy.tokenizer.eos_id, max(map(len, prompts))
    tokens, mask = torch.full((len(prompts), width), eos), torch.zeros(len(prompts), width, dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = torch.from_numpy(prompt)
        mask[row, width - len(prompt) :] = 1
    config = GenerationConfig(
        max_new_tokens=TOKENS,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        num_return_sequences=SAMPLES,
        eos_token_id=eos,
        pad_token_id=eos,
    )
    with quiet(), torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(repeat)
        drawn = policy.model.generate(tokens, attention_mask=mask, generation_config=config)[:, width:]
    first = torch.where((drawn == eos).any(1), (drawn == eos).int().argmax(1) + 1, drawn.shape[1])
    return int(first.sum())


def token_floor(policy: Policy) -> float:
    """Seconds that the products of one token take at the measured speed of large ones: the head's in float32."""
    head = policy.head.weight.numel()
    body = sum(m.weight.numel() for m in policy.model.modules() if type(m) is torch.nn.Linear) - head
    return 2 * (body / product_speed(policy.dtype) + head / product_speed(torch.float32))


def product_speed(dtype: torch.dtype, size: int = 2048) -> float:
    """Floating-point operations a second in the best of 5 square matrix products."""
    a = torch.ones(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="smollm2-135m")
    parser.add_argument("--dtype", default=None, help="default: what load_policy chooses on this machine")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-vllm", action="store_true", help="leave vLLM out even if it is installed")
    arguments = parser.parse_args()
    policy = load_policy(arguments.policy, dtype=arguments.dtype)
    prompts = word_problems(policy)
    sampler = TorchSampler(policy)
    start = time.perf_counter()
    sampler.sync(0)
    figures = {"sync_seconds": round(time.perf_counter() - start, 3)}
    runs: dict[str, Callable[[int], int]] = {
        "torch": lambda repeat: rollouts(sampler, prompts, repeat),
        "generate": lambda repeat: generate_rollouts(policy, prompts, repeat),
    }
    with contextlib.ExitStack() as stack:
        if importlib.util.find_spec("vllm") and not arguments.no_vllm:
            from reasonenv.sampling.vllm_sampler import VLLMSampler

            engine = stack.enter_context(contextlib.closing(VLLMSampler(policy, head_dtype="model")))
            runs["vllm"] = lambda repeat: rollouts(engine, prompts, repeat)
        speeds: dict[str, list[float]] = {name: [] for name in runs}
        produced: dict[str, list[int]] = {name: [] for name in runs}
        for repeat in range(arguments.repeats):
            for name, run in runs.items():
                start = time.perf_counter()
                count = run(repeat)
                speeds[name].append(count / (time.perf_counter() - start))
                produced[name].append(count)
                print(
                    f"{repeat + 1}/{arguments.repeats} {name}: {count} tokens, {speeds[name][-1]:.0f} a second",
                    flush=True,
                )
    floor = token_floor(policy)
    medians = {name: statistics.median(each) for name, each in speeds.items()}
    dtype = str(policy.dtype).removeprefix("torch.")
    print(f"{arguments.policy} {dtype}, {PROMPTS} prompts x {SAMPLES} samples x {TOKENS} tokens, ", end="")
    print(f"{torch.get_num_threads()} threads, {arguments.repeats} repeats, sync {figures['sync_seconds']:.2f} s")
    print(f"{'sampler':<10} {'tokens/s':>9} {'min':>9} {'max':>9} {'tokens':>9} {'of peak':>9}")
    for name, each in speeds.items():
        tokens, share = statistics.median(produced[name]), medians[name] * floor
        print(f"{name:<10} {medians[name]:>9.0f} {min(each):>9.0f} {max(each):>9.0f} {tokens:>9.0f} {share:>9.0%}")
        figures |= {f"{name}_tokens_per_second": round(medians[name], 1), f"{name}_share_of_peak": round(share, 3)}
    ratios = {f"torch_over_{name}": round(medians["torch"] / medians[name], 2) for name in medians if name != "torch"}
    print(json.dumps({"policy": arguments.policy, "dtype": dtype, "figures": figures, "ratios": ratios}))


if __name__ == "__main__":
    main()
