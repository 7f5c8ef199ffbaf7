"""Kills runs at random moments and goes on with them, and watches a long run for growth. Linux only.

    python benchmarks/endurance.py kills=60 iterations=2000

Prints, for each kind of run, how many kills it took and whether weights, answers and numbers equal those of a run that
nothing disturbed; then the resident memory, open files and threads of a long run at even distances.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from reasonenv.measures.pair import MEASURED

ENV = "reasonenv/Chain-Response-v0"
TINY = ["operands=2", "operators=+", "size=16", "max_tokens=16", "eval_problems=8", "eval_every=10"]
SAMPLED = ["problems_per_iteration=2", "samples_per_problem=2", "eval_samples=2"]
RUNS = {
    "grpo": ["train", "grpo", ENV, *TINY, *SAMPLED, "--iterations", "60"],
    "ei": ["train", "ei", ENV, *TINY, *SAMPLED, "--iterations", "30"],
    "ppo": ["train", "ppo", ENV, *TINY, *SAMPLED, "--iterations", "60"],
}
SUITE = """
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0, 1]
ks = [1, 2]
without_signal = true
[keys]
operands = 2
operators = "+"
size = 16
max_tokens = 16
eval_problems = 8
problems_per_iteration = 2
[inits.prior]
iterations = 20
[agents.grpo]
iterations = 30
samples_per_problem = 2
[agents.ei]
iterations = 10
samples_per_problem = 2
"""


def start(command: list[str], out: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "reasonenv", *command, "--out", str(out)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(command: list[str], out: Path) -> float:
    """Seconds that the command takes to its end."""
    began = time.monotonic()
    process = start(command, out)
    _, complaint = process.communicate()
    if process.returncode:
        raise SystemExit(complaint.decode())
    return time.monotonic() - began


def left(out: Path) -> dict[str, object]:
    """What must be equal: weights, answers, wins, and the numbers of every iteration but for times."""
    files: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.name == "metrics.jsonl":
            files[name] = [timeless(line) for line in path.read_text().splitlines()]
        elif path.suffix in (".safetensors", ".parquet", ".jsonl") and "checkpoints" not in path.parts:
            files[name] = path.read_bytes()
        elif path.suffix == ".partial":
            files[name] = "left over"
    return files


def timeless(line: str) -> str:
    """A row of numbers without those of the machine; nan equals nan."""
    row = json.loads(line)
    return repr({key: value for key, value in row.items() if key not in MEASURED})


def endure(name: str, command: list[str], folder: Path, kills: int, draw: random.Random) -> None:
    """Kills a run again and again, whenever it has ended begins another one, and compares each with the first."""
    seconds = finish(command, folder / "whole")
    expected = left(folder / "whole")
    killed, compared, equal, out = 0, 0, 0, folder / "run"
    while killed < kills:
        process, began = start(command, out), time.monotonic()
        try:
            process.wait(draw.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
            process.communicate()
            continue
        compared, equal = compared + 1, equal + (left(out) == expected)
        seconds = min(seconds, time.monotonic() - began)  # another program may have slowed the first
        process.communicate()
        shutil.rmtree(out)
    finish(command, out)
    compared, equal = compared + 1, equal + (left(out) == expected)
    print(f"{name:<8} {killed:>4} kills, {equal} of {compared} runs equal the undisturbed one", flush=True)


def growth(folder: Path, iterations: int, looks: int = 10) -> None:
    """Memory, files and threads of a run, as often as `looks`."""
    command = ["train", "grpo", ENV, *TINY[:-1], "eval_every=100", *SAMPLED, "--iterations", str(iterations)]
    process, metrics = start(command, folder / "long"), folder / "long" / "metrics.jsonl"
    print(f"{'iteration':>10} {'MiB':>8} {'files':>6} {'threads':>8}")
    for look in range(1, looks + 1):
        while process.poll() is None and _rows(metrics) < iterations * look // (looks + 1):
            time.sleep(0.2)
        if process.poll() is not None:
            break
        here = Path("/proc", str(process.pid))
        status = dict(line.split(":", 1) for line in (here / "status").read_text().splitlines())
        memory = int(status["VmRSS"].split()[0]) / 1024
        files = len(list((here / "fd").iterdir()))
        print(f"{_rows(metrics):>10} {memory:>8.1f} {files:>6} {status['Threads'].strip():>8}", flush=True)
    process.communicate()


def _rows(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def main() -> None:
    settings = {"kills": 60, "iterations": 2000, "seed": 0}
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        settings[key] = int(value)
    draw = random.Random(settings["seed"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "suite.toml").write_text(SUITE)
        runs = {**RUNS, "suite": ["bench", "run", str(folder / "suite.toml"), "--jobs", "2"]}
        for number, (run, command) in enumerate(runs.items()):
            (folder / run).mkdir()
            share = settings["kills"] * (number + 1) // len(runs) - settings["kills"] * number // len(runs)
            endure(run, command, folder / run, share, draw)
        growth(folder, settings["iterations"])


if __name__ == "__main__":
    main()
