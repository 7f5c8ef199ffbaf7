"""Time and memory of `reasonenv report` on a large finished suite.

    python benchmarks/report_speed.py [--agents 12] [--seeds 5] [--samples 1000000] [--rows 10000] [--folder DIR]

The suite has `--agents` agents with `--seeds` training seeds each (one of the agents is the initial policy, with one
seed), `--samples` stored answers in all, 16 sampled ones and a greedy one a problem, and curves of `--rows` rows of
the first agents. Texts are word problems of about 100 bytes with their arithmetic, some of it false; hardly two are
equal, which is the slow case. With `--folder` the suite is made once and kept. The last line is one JSON object:
seconds of the command on the clock and of processors, which other work on the machine leaves alone, the most memory
that it held in GB (resident), and the size of the page in MB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from reasonenv.measures.discovery import BASE, Draws
from reasonenv.measures.parquet import write_records
from reasonenv.measures.samples import EVALUATION, Sample, write_samples

DRAWN = 16
KS = [1, 2, 4, 8, 16]
CURVES = 3  # agents with long curves
BUDGETS = ("rollouts", "tokens", "updates", "seconds")
NAMES = ("Tom", "Mary", "Ahmed", "Li", "Svetlana", "Ngozi", "Pedro", "Ingrid")
THINGS = ("apples", "pencils", "marbles", "tickets", "cupcakes", "stamps")
TEXTS = (
    "{name} has {a} {thing} and buys {b} more, so {a} + {b} = {s}. Then {c} are given away: {s} - {c} = {r}\n#### {r}",
    "First we add: {a} + {b} = {s} {thing}. Taking away {c} leaves {name} with {s} - {c} = {r}.\n#### {r}",
    "{name} starts with {a}.\n{a}+{b}={s}\n{s}-{c}={r}\nThe answer is {r} {thing} in the basket.\n#### {r}",
)


def answers(rng: np.random.Generator, difficulty: np.ndarray, skill: float) -> Iterator[Sample]:
    """A greedy answer and `DRAWN` sampled ones to every problem."""
    right = rng.random((len(difficulty), DRAWN + 1)) < 1 / (1 + np.exp(difficulty - skill))[:, None]
    wrong = rng.integers(1, 6, right.shape)
    words = rng.integers(0, 1000, (*right.shape, 3))
    logps = -rng.exponential(30.0, (*right.shape, 2))
    for problem, flags in enumerate(right.tolist()):
        a, b, c = 20 + problem % 61, 3 + problem % 17, 2 + problem % 13
        for index, correct in enumerate(flags):
            s = a + b if correct else a + b + int(wrong[problem, index])
            template, name, thing = words[problem, index].tolist()
            text = TEXTS[template % len(TEXTS)].format(
                name=NAMES[name % len(NAMES)], thing=THINGS[thing % len(THINGS)], a=a, b=b, c=c, s=s, r=s - c
            )
            greedy = index == DRAWN
            yield Sample(
                problem_id=f"words-test-{problem:05d}",
                index=0 if greedy else index,
                greedy=greedy,
                correct=correct,
                reason="correct" if correct else "wrong",
                extracted=str(s - c),
                canonical=str(s - c),
                length=len(text) // 3,
                truncated=False,
                text=text,
                logp=None if greedy else float(logps[problem, index, 0]),
                initial_logp=None if greedy or index >= 4 else float(logps[problem, index, 1]),
            )


def curve(rng: np.random.Generator, rows: int) -> str:
    """`metrics.jsonl`: losses of every iteration, a greedy accuracy of every fifth."""
    lines = []
    for step in range(1, rows + 1):
        row = {"iteration": step, **dict.fromkeys(BUDGETS, step * 10.0)}
        row |= {"reward": rng.random(), "accuracy": rng.random(), "entropy": rng.random(), "loss": rng.random()}
        if step % 5 == 0:
            row["eval/greedy_accuracy"] = rng.random()
        lines.append(json.dumps(row) + "\n")
    return "".join(lines)


def write_suite(folder: Path, agents: int, seeds: int, samples: int, rows: int) -> None:
    """A finished suite, as `reasonenv bench run` leaves it."""
    cells = [("prior", 0), *((f"agent{i:02d}", seed) for i in range(1, agents) for seed in range(seeds))]
    difficulty = np.random.default_rng(0).normal(0.5, 1.5, samples // len(cells) // (DRAWN + 1))
    problems = []
    for problem in range(len(difficulty)):
        record = {"id": f"words-test-{problem:05d}", "question": f"How many? ({problem})", "answer": str(problem)}
        problems.append(json.dumps(record) + "\n")
    suite = {"name": "large", "baseline": "prior", "ks": KS, "margin": 0.05, "seconds": 1.0, "versions": {}}
    for agent, seed in cells:
        cell = folder / "cells" / f"{agent}-{seed}"
        cell.mkdir(parents=True)
        number = int(agent.removeprefix("agent")) if agent != "prior" else 0
        rng = np.random.default_rng([number, seed])
        record = {"agent": agent, "env": "reasonenv/Words-Response-v0", "policy": "tiny", "init": "sft", "variant": ""}
        record |= {"seed": seed, "hash": "0" * 16, "status": "done", "error": None, **dict.fromkeys(BUDGETS, number)}
        (cell / "cell.json").write_text(json.dumps(record))
        write_samples(cell / EVALUATION, answers(rng, difficulty, 0.02 * number))
        length = rows if 0 < number <= CURVES else 100
        (cell / "metrics.jsonl").write_text(curve(rng, length if number else 0))
        if not number:
            base = zip(range(len(difficulty)), rng.binomial(256, 1 / (1 + np.exp(difficulty))).tolist(), strict=True)
            write_records(cell / BASE, Draws, (Draws(f"words-test-{i:05d}", 256, right) for i, right in base))
    (folder / "problems.jsonl").write_text("".join(problems))
    suite["cells"] = [f"{agent}-{seed}" for agent, seed in cells]
    (folder / "suite.json").write_text(json.dumps(suite))


def measure(folder: Path) -> dict[str, float]:
    """Of the command in a process of its own."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "reasonenv", "report", folder], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {"seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime, "peak_gb": used.ru_maxrss / 2**20}
    figures["page_mb"] = (folder / "report.html").stat().st_size / 1e6
    return {name: round(value, 2) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("agents", 12), ("seeds", 5), ("samples", 1_000_000), ("rows", 10_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="keeps the suite, or takes the one that is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "suite"
        if not (folder / "suite.json").is_file():
            write_suite(folder, options.agents, options.seeds, options.samples, options.rows)
        settings = {"agents": options.agents, "seeds": options.seeds, "samples": options.samples, "rows": options.rows}
        print(json.dumps({**settings, **measure(folder)}))


if __name__ == "__main__":
    main()
