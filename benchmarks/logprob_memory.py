"""Peak memory of log-probs, entropy and their backward pass: ours by chunks, beside full logits.

    python benchmarks/logprob_memory.py [--tokens 512 1024 2048 32768] [--repeats 3] [--naive-up-to 2048]

Hidden states of 576 and a head of V = 49,152, float32, B * T response tokens up to 64 x 512 = 32,768. Each contender
and size is a process of its own; memory is what it holds at its peak above what it held before, and seconds are CPU
seconds, which a busy machine blurs least. The largest size would take the naive form 19 GB, so it is left out there.
Gradients to states and head are compared at the smallest size. The last line is one JSON object.
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


def measure(contender: str, tokens: int, repeats: int) -> dict[str, Any]:
    """Peak MiB above the inputs and CPU seconds of one forward and backward."""
    import torch

    from reasonenv.policy.logprobs import token_logprobs

    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, WIDTH, generator=draw).requires_grad_()
    weight = (torch.randn(VOCABULARY, WIDTH, generator=draw) * 0.05).requires_grad_()
    targets = torch.randint(VOCABULARY, (tokens,), generator=draw)
    weights = torch.randn(tokens, generator=draw)

    def naive() -> torch.Tensor:
        every = (hidden @ weight.T).log_softmax(-1)  # [M, V]
        with torch.no_grad():
            (-(every.exp() * every).sum(-1)).mean()
        return every.gather(1, targets[:, None])[:, 0]

    def ours() -> torch.Tensor:
        return token_logprobs(hidden, weight, None, targets)[0]

    def gradients(form: Any) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad((form() * weights).sum(), (hidden, weight))

    if contender == "difference":
        errors = [float((a - b).norm() / b.norm()) for a, b in zip(gradients(ours), gradients(naive), strict=True)]
        return {"largest": max(errors)}
    torch.ones(64, 64) @ torch.ones(64, 64)  # the library's own buffers
    before, seconds = _held(), []
    for _ in range(repeats):
        start = time.process_time()
        gradients({"ours": ours, "naive": naive}[contender])
        seconds.append(time.process_time() - start)
    return {"mib": _peak() - before, "seconds": statistics.median(seconds)}


def _held() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def elsewhere(*words: str) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--one", *words]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 1024, 2048, 32768])
    parser.add_argument("--naive-up-to", type=int, default=2048, help="tokens; it needs 0.6 MiB for each")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # how it calls itself
    arguments = parser.parse_args()
    if arguments.one:
        contender, tokens, repeats = arguments.one
        print(json.dumps(measure(contender, int(tokens), int(repeats))))
        return
    figures: dict[str, float] = {}
    print(f"{'tokens':>8} {'ours MiB':>10} {'naive MiB':>10} {'ours s':>9} {'naive s':>9}   V = {VOCABULARY:,}")
    compared = []
    for tokens in sorted(arguments.tokens):
        shown = []
        for contender in ("ours", "naive"):
            if contender == "naive" and tokens > arguments.naive_up_to:
                continue
            found = elsewhere(contender, str(tokens), str(arguments.repeats))
            figures |= {f"{contender}_{tokens}_{unit}": round(found[unit], 3) for unit in ("mib", "seconds")}
            shown.append(found)
        if len(shown) == 2:
            compared.append(tokens)
        cells = [f"{s[unit]:.{digits}f}" for unit, digits in (("mib", 0), ("seconds", 2)) for s in shown]
        if len(shown) == 1:
            cells = [cells[0], "-", cells[1], "-"]
        print("{:>8} {:>10} {:>10} {:>9} {:>9}".format(tokens, *cells), flush=True)
    error = elsewhere("difference", str(min(arguments.tokens)), "1")["largest"]
    figures["gradient_difference"] = error
    print(f"largest relative difference of a gradient: {error:.1e}")
    ratios = {f"memory_{n}": round(figures[f"ours_{n}_mib"] / figures[f"naive_{n}_mib"], 3) for n in compared}
    ratios |= {f"seconds_{n}": round(figures[f"ours_{n}_seconds"] / figures[f"naive_{n}_seconds"], 2) for n in compared}
    print(json.dumps({"figures": figures, "ratios": ratios}))


if __name__ == "__main__":
    main()
