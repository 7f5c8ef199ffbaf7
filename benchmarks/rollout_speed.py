"""Tokens a second: the torch sampler against the best that `model.generate` does, on the same prompts and one machine.

    python benchmarks/rollout_speed.py [--policy smollm2-135m] [--dtype float32] [--repeats 3]

8 word problems x 8 samples x 128 new tokens at temperature 1. `generate` gets one left-padded batch with
`num_return_sequences`, pure temperature sampling. Speed counts the tokens that were really produced, up to and with
EOS; the two alternate within one sitting, and the figures are medians. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
import torch

from reasonenv.core import IntArray
from reasonenv.policy.lm import Policy
from reasonenv.policy.pretrained import load_policy, quiet
from reasonenv.sampling.sampler import Sampling
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


def torch_rollouts(sampler: TorchSampler, prompts: list[IntArray], repeat: int) -> int:
    """Tokens produced by ours."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="smollm2-135m")
    parser.add_argument("--dtype", default=None, help="default: what load_policy chooses on this machine")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    policy = load_policy(arguments.policy, dtype=arguments.dtype)
    prompts = word_problems(policy)
    start = time.perf_counter()
    sampler = TorchSampler(policy)
    sync = time.perf_counter() - start
    speeds: dict[str, list[float]] = {"torch": [], "generate": []}
    produced: dict[str, list[int]] = {"torch": [], "generate": []}
    for repeat in range(arguments.repeats):
        for name, run in (
            ("torch", lambda: torch_rollouts(sampler, prompts, repeat)),  # noqa: B023
            ("generate", lambda: generate_rollouts(policy, prompts, repeat)),  # noqa: B023
        ):
            start = time.perf_counter()
            count = run()
            speeds[name].append(count / (time.perf_counter() - start))
            produced[name].append(count)
            print(
                f"{repeat + 1}/{arguments.repeats} {name}: {count} tokens, {speeds[name][-1]:.0f} a second", flush=True
            )
    dtype = str(policy.dtype).removeprefix("torch.")
    print(f"{arguments.policy} {dtype}, {PROMPTS} prompts x {SAMPLES} samples x {TOKENS} tokens, ", end="")
    print(f"{torch.get_num_threads()} threads, {arguments.repeats} repeats, sync {sync:.2f} s")
    print(f"{'sampler':<10} {'tokens/s':>9} {'min':>9} {'max':>9} {'tokens':>9}")
    for name, each in speeds.items():
        tokens = statistics.median(produced[name])
        print(f"{name:<10} {statistics.median(each):>9.0f} {min(each):>9.0f} {max(each):>9.0f} {tokens:>9.0f}")
    medians = {name: round(statistics.median(each), 1) for name, each in speeds.items()}
    figures = {f"{name}_tokens_per_second": value for name, value in medians.items()}
    figures |= {"sync_seconds": round(sync, 3)}
    ratios = {"torch_over_generate": round(medians["torch"] / medians["generate"], 2)}
    print(json.dumps({"policy": arguments.policy, "dtype": dtype, "figures": figures, "ratios": ratios}))


if __name__ == "__main__":
    main()
