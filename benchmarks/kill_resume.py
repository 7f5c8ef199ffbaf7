"""SIGKILL at random points of `train` and `bench`: the same command again must end as if nothing had happened.

A point is a phase, which one of its events, and up to 30 ms behind it. A run of the tiny policy on Chain is killed
there and run again; then everything that it left (metrics, weights, stored samples, summaries), but for times, is
compared, byte for byte, with what a run left that was let alone. Of `bench`, now the process of the suite is killed
and now that of a cell. Then runs of several agents are killed again and again, at random times, before they may end.

    python benchmarks/kill_resume.py                          # 30 kills of each
    python benchmarks/kill_resume.py --only bench --trials 10 --seed 3

Prints kills survived of tried, and how many of the runs that were killed again and again ended as one let alone; the
last line is JSON. Exits with 1 if a kill made a difference.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PHASES = ("sampling", "verifying", "backward", "saving", "evaluating")
DELAY = 0.03  # seconds
ENV = "reasonenv/Chain-Response-v0"
EASY = {"operands": 2, "operators": "+", "size": 16, "max_tokens": 16, "eval_problems": 8, "eval_every": 2}
GRPO = {"problems_per_iteration": 4, "samples_per_problem": 4, "minibatches": 2, "lr": 3e-4}
SUITE = f"""
envs = ["{ENV}"]
seeds = [0]
ks = [2]
without_signal = true
[keys]
{"".join(f"{key} = {value!r}{chr(10)}" for key, value in EASY.items())}
[inits.prior]
iterations = 2
problems_per_iteration = 16
lr = 3e-3
[agents.grpo]
iterations = 4
{"".join(f"{key} = {value!r}{chr(10)}" for key, value in GRPO.items())}
"""
AGAIN = ("grpo", "ei", "ppo")  # killed again and again
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["reasonenv.cli", "reasonenv.experiment.scheduler", "reasonenv.experiment.train", "torch.utils.tensorboard"]
)


def arm(point: str) -> None:
    """From now on this process counts the events of its phases and dies at the point, or kills its suite."""
    import torch

    from reasonenv.learn import loop
    from reasonenv.learn.evaluation import GreedyEvaluator
    from reasonenv.mdp.mdp import ReasoningMDP
    from reasonenv.sampling.torch import torch_sampler

    phase, number, delay, who = point.split(",")
    count = Counter[str]()
    loop.SAVING_SHARE = 1.0  # more often than a run would, so that there are more points

    def die() -> None:
        time.sleep(float(delay))
        os.kill(os.getppid() if who == "suite" else os.getpid(), signal.SIGKILL)  # events come in cells

    def event(name: str) -> None:
        count[name] += 1
        if name == phase and count[name] == int(number):
            threading.Thread(target=die, daemon=True).start()
        if phase == "count" and name == "saving":  # the last of them comes after all others
            Path(who).write_text(json.dumps(count))

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            event(name)
            return function(*args, **kwargs)

        return wrapped

    def audit(audited: str, arguments: tuple[object, ...]) -> None:
        if audited in ("open", "os.rename", "shutil.rmtree") and "/checkpoints/" in str(arguments[0]):
            event("saving")

    torch_sampler.choose = counted("sampling", torch_sampler.choose)
    ReasoningMDP.trajectory = counted("verifying", ReasoningMDP.trajectory)  # type: ignore[method-assign]
    torch.Tensor.backward = counted("backward", torch.Tensor.backward)  # type: ignore[method-assign]
    GreedyEvaluator.answers = counted("evaluating", GreedyEvaluator.answers)  # type: ignore[method-assign]
    sys.addaudithook(audit)


def command(arguments: list[str], point: str | None) -> None:
    """In a process of its own. Cells are forked from it, not spawned, which saves each the seconds of its imports."""
    from reasonenv.cli import main
    from reasonenv.experiment import scheduler

    forked = SimpleNamespace(get_context=lambda _: multiprocessing.get_context("fork"))
    scheduler.multiprocessing = SimpleNamespace(**{**vars(multiprocessing), **vars(forked)})  # type: ignore[assignment]
    if point:
        arm(point)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.exit(main(arguments))


def run(arguments: list[str], point: str | None = None) -> int | None:
    """Runs a command line; its exit code."""
    child = PROCESSES.Process(target=command, args=(arguments, point))
    child.start()
    child.join()
    return child.exitcode


def left(out: Path) -> dict[str, Any]:
    """What a run or a suite leaves that must not depend on when it was killed: name -> content."""
    from reasonenv.measures.pair import MEASURED

    def timeless(text: str) -> str:
        record = json.loads(text)
        return repr({k: v for k, v in record.items() if k not in MEASURED})  # nan equals nan

    contents: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        name, parts = str(path.relative_to(out)), path.relative_to(out).parts
        if not path.is_file() or {"tensorboard", "checkpoints"} & set(parts) or path.name in (".lock", "suite.json"):
            continue
        if len(parts) == 1 and path.name.startswith(("curves", "report", "table")):  # of a suite, with its times
            continue
        if path.name == "metrics.jsonl":
            contents[name] = [timeless(line) for line in path.read_text().splitlines()]
        elif path.suffix == ".json":
            contents[name] = timeless(path.read_text())
        else:
            contents[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    for folder in sorted(out.rglob("checkpoints")):
        last = max(folder.iterdir())
        contents[str(last.relative_to(out))] = hashlib.sha256((last / "state.safetensors").read_bytes()).hexdigest()
    return contents


def side_by_side(line: Callable[[Path], list[str]], folder: Path) -> bool:
    """Whether two suites at once, in folders of their own, end as one alone."""
    both = [PROCESSES.Process(target=command, args=(line(folder / name), None)) for name in ("one", "two")]
    for child in both:
        child.start()
    for child in both:
        child.join()
    return left(folder / "one") == left(folder / "two") == left(folder / "whole")


def trials(kind: str, line: Callable[[Path], list[str]], count: int, seed: int, folder: Path) -> dict[str, list[int]]:
    """Kills `kind` at `count` random points. Phase -> [survived, tried]."""
    draw = random.Random(seed)
    counts = folder / "counts.json"
    assert run(line(folder / "whole"), f"count,0,0,{counts}") == 0
    events, expected = json.loads(counts.read_text()), left(folder / "whole")
    print(f"{kind}: {len(expected)} things to compare, events {events}", flush=True)
    result = {phase: [0, 0] for phase in PHASES}
    for trial in range(count):
        phase = PHASES[trial % len(PHASES)]
        who = draw.choice(("suite", "cell")) if kind == "bench" else "run"
        point = f"{phase},{draw.randint(1, events[phase])},{draw.uniform(0, DELAY):.4f},{who}"
        out = folder / "run"
        shutil.rmtree(out, ignore_errors=True)
        ended = run(line(out), point)
        before = sum(1 for _ in out.rglob("*"))
        again = run(line(out))
        wrong = [name for name, content in left(out).items() if expected.get(name) != content]
        wrong += sorted(expected.keys() - left(out).keys())
        well = again == 0 and not wrong
        result[phase][0] += well
        result[phase][1] += 1
        result_text = "survived" if well else f"NOT SURVIVED: exit code {again}, differing {wrong[:3]}"
        print(f"{kind} {trial + 1}: {point} ended {ended}, {before} paths were there: {result_text}", flush=True)
    return result


def killed_again(line: Callable[[Path], list[str]], kills: int, draw: random.Random, folder: Path) -> dict[str, int]:
    """Kills a run until it has come to its end in spite of that, then another; compares each with one let alone."""
    began = time.monotonic()
    assert run(line(folder / "whole")) == 0
    seconds, expected = time.monotonic() - began, left(folder / "whole")
    figures = {"kills": 0, "runs": 0, "equal": 0}
    out = folder / "run"
    while figures["kills"] < kills or out.exists():
        whole, began = not out.exists(), time.monotonic()
        child = PROCESSES.Process(target=command, args=(line(out), None))
        child.start()
        child.join(draw.uniform(0, seconds) if figures["kills"] < kills else None)
        if child.exitcode is None:
            child.kill()
            child.join()
            figures["kills"] += 1
            out.mkdir(exist_ok=True)  # it has begun, even if nothing is there yet
            continue
        figures["runs"] += 1
        figures["equal"] += child.exitcode == 0 and left(out) == expected
        if whole:
            seconds = min(seconds, time.monotonic() - began)  # another program may have slowed the first
        shutil.rmtree(out)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30, help="kills of each kind (default 30)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("train", "bench", "again"))
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    figures: dict[str, Any] = {}
    together: bool | None = None  # not tried
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = [f"{key}={value}" for key, value in EASY.items()]
        grpo = [f"{key}={value}" for key, value in GRPO.items()]
        prior = str(folder / "prior")
        (folder / "tiny.toml").write_text(SUITE)

        def train(out: Path) -> list[str]:
            settings = ["--policy", prior, "--iterations", "8", "--out", str(out), "--json", "eval_samples=2"]
            return ["train", "grpo", ENV, *keys, *grpo, *settings]

        def bench(out: Path) -> list[str]:
            return ["bench", "run", str(folder / "tiny.toml"), "--out", str(out), "--jobs", "1"]

        made = ["train", "sft", ENV, *keys, "problems_per_iteration=16", "lr=3e-3", "--iterations", "8", "--out", prior]
        assert run(made) == 0
        for kind, line in (("train", train), ("bench", bench)):
            if chosen.only in (None, kind):
                trial_folder = folder / kind
                trial_folder.mkdir()
                figures[kind] = trials(kind, line, chosen.trials, chosen.seed, trial_folder)
                if kind == "bench":
                    together = side_by_side(line, trial_folder)
                    print(f"two suites at once end as one alone: {together}")
        again: dict[str, dict[str, int]] = {}
        draw = random.Random(chosen.seed)
        for agent in AGAIN if chosen.only in (None, "again") else ():
            (folder / agent).mkdir()
            words = ["train", agent, ENV, *keys, "problems_per_iteration=2", "samples_per_problem=2", "eval_samples=2"]
            words += ["--policy", prior, "--iterations", "60", "--out"]
            again[agent] = killed_again(
                lambda out, words=words: [*words, str(out)], chosen.trials // len(AGAIN), draw, folder / agent
            )
            print(f"{agent}: {again[agent]}", flush=True)
    survived: dict[str, tuple[int, int]] = {}
    for kind, phases in figures.items():
        well = sum(count for count, _ in phases.values())
        tried = sum(count for _, count in phases.values())
        survived[kind] = well, tried
        print(f"{kind}: {well} of {tried} kills survived")
    results = {
        "survived_of_tried": survived,
        "by_phase": figures,
        "killed_again": again,
        "two_suites_at_once": together,
    }
    print(json.dumps({"figures": results, "ratios": {}}))
    differing = any(well != tried for well, tried in survived.values())
    differing |= any(each["equal"] != each["runs"] for each in again.values())
    return int(together is False or differing)


if __name__ == "__main__":
    sys.exit(main())
