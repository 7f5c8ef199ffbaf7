"""What a long run takes of the machine: it must not grow. Linux only.

    python benchmarks/endurance.py                      # 2,000 iterations
    python benchmarks/endurance.py --iterations 400

Trains the tiny policy by GRPO on Chain, in a process of its own, and prints its resident memory, open files and threads
at even distances. What kills make of a run is in `kill_resume.py`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TASK = ["reasonenv/Chain-Response-v0", "operands=2", "operators=+", "size=16", "max_tokens=16"]
SMALL = ["problems_per_iteration=2", "samples_per_problem=2", "eval_problems=8", "eval_samples=2", "eval_every=100"]
LOOKS = 10  # at the process


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=2000)
    iterations = parser.parse_args().iterations
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "grpo", *TASK, *SMALL, "--iterations", str(iterations), "--out", folder]
        process = subprocess.Popen(
            [sys.executable, "-m", "reasonenv", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        print(f"{'iteration':>10} {'MiB':>8} {'files':>6} {'threads':>8}")
        for look in range(1, LOOKS + 1):
            while process.poll() is None and _rows(folder) < iterations * look // (LOOKS + 1):
                time.sleep(0.2)
            if process.poll() is None:
                print(f"{_rows(folder):>10} {_takes(process.pid)}", flush=True)
        return process.wait()


def _rows(folder: str) -> int:
    """Iterations that the run has finished."""
    metrics = Path(folder, "metrics.jsonl")
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


def _takes(pid: int) -> str:
    process = Path("/proc", str(pid))
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    memory, files = int(status["VmRSS"].split()[0]) / 1024, len(list((process / "fd").iterdir()))
    return f"{memory:>8.1f} {files:>6} {status['Threads'].strip():>8}"


if __name__ == "__main__":
    sys.exit(main())
