"""Environment steps a second: batched tokens beside Gymnasium's own vectorisation, responses beside GEM's math env.

    python benchmarks/env_speed.py [--envs 64] [--tokens 1024] [--data FOLDER] [--repeats 3]

Tokens: `--envs` rows of reasonenv/Chain-Token-v0, responses of half to all of `--tokens` random characters that end in
EOS and are verified, finished rows starting anew within the step; beside it the same process one token at a time in
`SyncVectorEnv`, and a toy environment that only counts in the same. Responses: one response a step, verified, over
solutions of the GSM8K test file in `--data` (or under `REASONENV_DATA`; else Chain), half of them right; beside it
GEM's MathEnv on the same texts, run by the interpreter of `make install-peers` (.venv-peers). `made_again` counts
environments of the same task that `gymnasium.make` makes a second when there is one already. Each contender is one
process with one thread; seconds are of the wall clock, so the machine should be quiet. Batched observations are the
live arrays (`copy=False`; `batched_copied` copies each), actions are arrays of token ids. Every figure is a median over
`--repeats` rounds in which all contenders take turns. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-peers" / "bin" / "python"


def token_contenders(envs: int, tokens: int) -> dict[str, Callable[[], float]]:
    """Each call takes some hundred steps of `envs` rows and returns token steps a second."""
    import gymnasium
    import numpy as np
    from gymnasium.vector import AutoresetMode, SyncVectorEnv

    import reasonenv  # noqa: F401

    class Toy(gymnasium.Env[int, int]):
        """Counts its steps; nothing could be less."""

        observation_space = gymnasium.spaces.Discrete(100_000)
        action_space = gymnasium.spaces.Discrete(257)
        at = 0

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
            self.at = 0
            return 0, {}

        def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
            self.at += 1
            return self.at, 0.0, self.at >= tokens, False, {}

    knobs: dict[str, Any] = {"size": 1000, "max_tokens": tokens}
    batched: dict[str, Any] = {"num_envs": envs, "autoreset_mode": "SameStep"}
    fast = gymnasium.make_vec("reasonenv/Chain-Token-v0", copy=False, **batched, **knobs)
    copied = gymnasium.make_vec("reasonenv/Chain-Token-v0", **batched, **knobs)
    single = gymnasium.make("reasonenv/Chain-Token-v0", **knobs).unwrapped
    ours = SyncVectorEnv([lambda: type(single)(single.mdp)] * envs, autoreset_mode=AutoresetMode.SAME_STEP)
    toy = SyncVectorEnv([Toy] * envs, autoreset_mode=AutoresetMode.SAME_STEP)

    # Rows end at different times, as they do in life.
    rng = np.random.default_rng(0)
    stream = rng.integers(33, 127, size=(4 * tokens, envs))  # the byte tokenizer's letters
    for row in range(envs):
        ends = np.cumsum(rng.integers(tokens // 2, tokens, size=9))
        stream[ends[ends < len(stream)], row] = single.mdp.tokenizer.eos_id

    def measured(env: Any, steps: int) -> Callable[[], float]:
        def run() -> float:
            env.reset(seed=0)
            start = time.perf_counter()
            for actions in stream[:steps]:
                env.step(actions)
            return envs * steps / (time.perf_counter() - start)

        return run

    return {
        "batched": measured(fast, len(stream)),
        "batched_copied": measured(copied, len(stream)),
        "sync_single": measured(ours, tokens // 16),  # early tokens only, where its growing text is still cheap
        "sync_toy": measured(toy, tokens),
    }


def responses(folder: str | None, count: int) -> tuple[str, dict[str, Any], list[dict[str, str]]]:
    """The task, its settings, and for each of its problems question, answer and a response, right every second time."""
    from reasonenv.mdp.make import make_mdp
    from reasonenv.tasks import reference_solution

    has_gsm8k = any((Path(folder or "missing") / name).is_file() for name in ("gsm8k/test.jsonl", "test.jsonl"))
    task = "GSM8K" if has_gsm8k else "Chain"
    knobs: dict[str, Any] = {"split": "test", "max_tokens": 2048}
    knobs |= {"data": folder, "limit": count} if has_gsm8k else {"size": count}
    examples = []
    for i, problem in enumerate(make_mdp(task, **knobs).problems):
        solution = reference_solution(problem)
        text = solution if i % 2 == 0 else f"{solution}7"
        examples.append({"problem": problem.question, "answer": problem.answer, "response": text})
    return task, knobs, examples


def response_contenders(
    task: str, knobs: dict[str, Any], examples: list[dict[str, str]]
) -> dict[str, Callable[[], float]]:
    """Each call answers every problem and returns verified responses a second."""
    import gymnasium
    import numpy as np

    single = gymnasium.make(f"reasonenv/{task}-Response-v0", **knobs).unwrapped
    envs = 64
    batched = gymnasium.make_vec(
        f"reasonenv/{task}-Response-v0",
        num_envs=envs,
        autoreset_mode="Disabled",
        copy=False,
        **knobs,
    )
    actions = [np.array(single.mdp.tokenizer.encode(entry["response"])) for entry in examples]
    right = sum(i % 2 == 0 for i in range(len(examples)))

    def one_by_one() -> float:
        start, correct = time.perf_counter(), 0
        for i, action in enumerate(actions):
            single.reset(options={"problem": i})
            correct += single.step(action)[-1]["is_success"]
        seconds = time.perf_counter() - start
        assert correct == right, f"{correct} of {right} right answers were accepted"
        return len(actions) / seconds

    def together() -> float:
        start, correct = time.perf_counter(), 0
        for first in range(0, len(actions) - envs + 1, envs):
            batched.reset(options={"problem": list(range(first, first + envs))})
            correct += int(batched.step(actions[first : first + envs])[-1]["is_success"].sum())
        done = len(actions) // envs * envs
        seconds = time.perf_counter() - start
        assert correct == sum(i % 2 == 0 for i in range(done)), f"{correct} right answers were accepted"
        return done / seconds

    contenders = {"responses": one_by_one, "responses_batched": together}
    if PEERS.exists():
        contenders["responses_gem"] = lambda: gem_elsewhere(examples)
    else:
        print("GEM is missing here: make install-peers")
    return contenders


def make_contender(task: str, knobs: dict[str, Any], count: int) -> Callable[[], float]:
    """Makes one environment, then `count` like it, and returns how many of these a second."""
    import gymnasium

    def run() -> float:
        gymnasium.make(f"reasonenv/{task}-Token-v0", **knobs)
        start = time.perf_counter()
        for _ in range(count):
            gymnasium.make(f"reasonenv/{task}-Token-v0", **knobs)
        return count / (time.perf_counter() - start)

    return run


def gem_elsewhere(examples: list[dict[str, str]]) -> float:
    """What `gem_here` measures, in the peers' interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "examples.json"
        path.write_text(json.dumps(examples))
        command = [str(PEERS), str(Path(__file__).resolve()), "--gem", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"GEM failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def gem_here(path: str) -> float:
    """Verified responses a second of GEM's MathEnv, in this process and without its worker pool."""
    from datasets import Dataset
    from gem.envs.math_env import MathEnv

    examples = json.loads(Path(path).read_text())
    env = MathEnv(dataset=Dataset.from_list(examples), use_mp=False, eval=True)
    boxed = [entry["response"].replace("#### ", "\\boxed{") + "}" for entry in examples]  # the one form that it reads
    for index in (0, 1):  # imports, for right and wrong ones
        env.reset(idx=index)
        env.step(boxed[index])
    start, correct = time.perf_counter(), 0.0
    for index, response in enumerate(boxed):
        env.reset(idx=index)
        correct += env.step(response)[1]
    seconds = time.perf_counter() - start
    right = sum(i % 2 == 0 for i in range(len(examples)))
    assert correct == right, f"GEM accepted {correct} of {right} right answers"
    return len(examples) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=1024, help="the budget of a response")
    parser.add_argument("--data", default=os.environ.get("REASONENV_DATA"), help="folder with gsm8k/test.jsonl")
    parser.add_argument("--answers", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--gem", help=argparse.SUPPRESS)  # how it calls itself in the peers' interpreter
    arguments = parser.parse_args()
    if arguments.gem:
        print(gem_here(arguments.gem))
        return
    task, knobs, examples = responses(arguments.data, arguments.answers)
    print(
        f"tokens: {arguments.envs} rows, episodes of {arguments.tokens // 2} to {arguments.tokens} tokens (toy: "
        f"{arguments.tokens}); responses: {len(examples)} of {task}, 64 at once in responses_batched"
    )
    contenders = token_contenders(arguments.envs, arguments.tokens) | response_contenders(task, knobs, examples)
    whole = {key: value for key, value in knobs.items() if key not in ("limit", "size")}
    contenders["made_again"] = make_contender(task, whole, 64)
    rounds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(arguments.repeats):
        for name, run in contenders.items():
            rounds[name].append(run())
            print(f"round {number + 1}  {name:<18} {rounds[name][-1]:>14,.0f} /s", flush=True)
    figures = {f"{name}_per_second": round(statistics.median(speeds), 1) for name, speeds in rounds.items()}
    print(f"\n{'median':<26} {'steps/s':>14}")
    for name, speed in figures.items():
        print(f"{name.removesuffix('_per_second'):<26} {speed:>14,.0f}")

    def ratio(ours: str, peer: str) -> float:
        """The median of the ratios within each round."""
        return round(statistics.median(a / b for a, b in zip(rounds[ours], rounds[peer], strict=True)), 2)

    ratios = {f"batched_over_{name}": ratio("batched", name) for name in ("sync_single", "sync_toy")}
    if "responses_gem" in rounds:
        for name in ("responses", "responses_batched"):
            ratios[f"{name}_over_gem"] = ratio(name, "responses_gem")
    for name, value in ratios.items():
        print(f"{name:<26} {value:>14,.1f}")
    print(json.dumps({"figures": figures, "ratios": ratios}))


if __name__ == "__main__":
    main()
