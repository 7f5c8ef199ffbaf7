"""Peak memory and time of log-probs, entropy and their backward pass: ours by chunks, beside full logits.

    python benchmarks/logprob_memory.py [--tokens 512 2048 32768] [--dtypes bfloat16 float32] [--device cpu]

Hidden states of 576 and a head of V = 49,152, logits in float32, B * T response tokens up to 64 x 512 = 32,768. Each
contender and size is a process of its own; memory is what it holds at its peak above what it held before. On a CPU
seconds are CPU seconds, which a busy machine blurs least. The full logits are left out where, by what they took at the
size before, they would not fit. Gradients to states and head are compared at the smallest size with those of full
logits in float64; in bfloat16 the gradients themselves are rounded, to 2^-9 of each. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WIDTH, VOCABULARY = 576, 49152


def measure(contender: str, tokens: int, repeats: int, dtype: str, device: str) -> dict[str, Any]:
    """Peak MiB above the inputs and seconds of one forward and backward, or how far gradients are from float64."""
    import torch

    from reasonenv.policy.logprobs import Head, token_logprobs

    draw = torch.Generator().manual_seed(0)
    states = torch.randn(tokens, WIDTH, generator=draw).to(device, getattr(torch, dtype))
    head = (torch.randn(VOCABULARY, WIDTH, generator=draw) * 0.05).to(device, getattr(torch, dtype))
    targets = torch.randint(VOCABULARY, (tokens,), generator=draw).to(device)
    weights = torch.randn(tokens, generator=draw).to(device)

    def naive(hidden: torch.Tensor, weight: torch.Tensor, exact: torch.dtype = torch.float32) -> torch.Tensor:
        every = (hidden.to(exact) @ weight.to(exact).T).log_softmax(-1)  # [M, V]
        with torch.no_grad():
            (-(every.exp() * every).sum(-1)).mean()
        return every.gather(1, targets[:, None])[:, 0]

    def ours(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return token_logprobs(hidden, Head(weight), targets)[0]

    def gradients(form: Any, kind: torch.dtype = states.dtype, **exact: torch.dtype) -> tuple[torch.Tensor, ...]:
        leaves = [x.to(kind).requires_grad_() for x in (states, head)]
        return torch.autograd.grad((form(*leaves, **exact) * weights).sum(), leaves)

    if contender == "difference":
        gold = gradients(naive, torch.float64, exact=torch.float64)
        errors = {}
        for form in (ours, naive):
            pairs = zip(gradients(form), gold, strict=True)
            errors[form.__name__] = max(float((a - b).norm() / b.norm()) for a, b in pairs)
        return errors
    form = {"ours": ours, "naive": naive}[contender]
    torch.ones(64, 64, device=device) @ torch.ones(64, 64, device=device)  # the library's own buffers
    before, seconds = _held(device), []
    for _ in range(repeats):
        start = _clock(device)
        gradients(form)
        seconds.append(_clock(device) - start)
    return {"mib": _peak(device) - before, "seconds": statistics.median(seconds)}


def _clock(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


def _held(device: str) -> float:
    if device != "cpu":
        import torch

        return torch.cuda.memory_allocated() / 2**20
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _peak(device: str) -> float:
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def elsewhere(*words: str) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--one", *words]
    measured: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 2048, 32768])
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"], choices=["bfloat16", "float32"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)  # how it calls itself
    arguments = parser.parse_args()
    if arguments.one:
        contender, tokens, repeats, dtype, device = arguments.one
        print(json.dumps(measure(contender, int(tokens), int(repeats), dtype, device)))
        return
    import torch

    from reasonenv.learn.memory import available

    free = available(torch.device(arguments.device)) / 2**20
    figures: dict[str, float] = {}
    ratios: dict[str, float] = {}
    for dtype in arguments.dtypes:
        print(f"{dtype:>8} {'ours MiB':>10} {'naive MiB':>20} {'ours s':>9} {'naive s':>9}   V = {VOCABULARY:,}")
        each = 0.0  # MiB that full logits take for a token
        for tokens in sorted(arguments.tokens):
            words = (str(tokens), str(arguments.repeats), dtype, arguments.device)
            measured = {"ours": elsewhere("ours", *words)}
            fits = each * tokens < free
            if fits:
                measured["naive"] = elsewhere("naive", *words)
                each = measured["naive"]["mib"] / tokens
                for unit, name in (("mib", "memory"), ("seconds", "seconds")):
                    ratios[f"{name}_{dtype}_{tokens}"] = round(measured["ours"][unit] / measured["naive"][unit], 3)
            for name, numbers in measured.items():
                figures |= {f"{name}_{dtype}_{tokens}_{unit}": round(value, 3) for unit, value in numbers.items()}
            naive = [f"{measured['naive']['mib']:.0f}", f"{measured['naive']['seconds']:.2f}"] if fits else ["", "-"]
            naive[0] = naive[0] or f"does not fit: {each * tokens:.0f}"
            ours = measured["ours"]
            print(f"{tokens:>8} {ours['mib']:>10.0f} {naive[0]:>20} {ours['seconds']:>9.2f} {naive[1]:>9}", flush=True)
        away = elsewhere("difference", str(min(arguments.tokens)), "1", dtype, arguments.device)
        figures |= {f"{name}_{dtype}_gradient_error": value for name, value in away.items()}
        print(f"relative error of the gradients: ours {away['ours']:.1e}, naive {away['naive']:.1e}")
    print(json.dumps({"device": arguments.device, "figures": figures, "ratios": ratios}))


if __name__ == "__main__":
    main()
