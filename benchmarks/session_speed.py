"""What the environment's turns cost a sampler: tokens read and tokens a second, beside the same task without them.

    python benchmarks/session_speed.py [--policy tiny] [--device cpu] [--tokens 96] [--repeats 3]
        [--only torch,hf,vllm] [--settings stochastic=sticky:0.1,replies=retry:2]

8 problems of Chain (operands=4) x 8 samples x up to 96 tokens at temperature 1, verified, without a setting ("plain")
and in each, in turns in one sitting after a round that is not counted. Figures are medians.

* "read": tokens of prompts and of what the environment wrote, and whatever the model has read again.
  What a prefix cache knew is not counted, nor is the token that the model has just drawn.
* "drawn": tokens that the policy drew, those too that were taken back because the environment wrote before them.
* "passed": read and drawn together, for each token of the responses, as a ratio to the plain run's.
* "response": tokens of all responses, what the environment wrote included. "tokens/s" are these, and "of plain" is the
  ratio to the plain run's.

vLLM is left out where it is not installed; it has no kernel for the heads of `tiny`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import statistics
import time
from typing import NamedTuple

from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.pretrained import load_policy
from reasonenv.rollout.groups import sample_groups
from reasonenv.sampling import make_sampler
from reasonenv.sampling.sampler import Sampler

PROBLEMS, SAMPLES = 8, 8
SAMPLERS = ("torch", "hf", "vllm")
SETTINGS = "stochastic=sticky:0.1,stochastic=sticky:0.3,stochastic=interrupt:10,replies=calculator,replies=retry:2"


class Round(NamedTuple):
    """What one round took."""

    read: int
    drawn: int
    response: int
    seconds: float


def measured(sampler: Sampler, mdp: ReasoningMDP, repeat: int) -> Round:
    """One round of rollouts; `repeat` is their seed."""
    read, drawn, start = sampler.tokens_read, sampler.tokens_drawn, time.perf_counter()
    groups = sample_groups(sampler, mdp, range(PROBLEMS), SAMPLES, temperature=1.0, seed=("speed", repeat))
    seconds = time.perf_counter() - start
    response = sum(len(t.tokens) for group in groups for t in group.trajectories)
    return Round(sampler.tokens_read - read, sampler.tokens_drawn - drawn, response, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default=",".join(SAMPLERS), help="some of the samplers, separated by commas")
    parser.add_argument("--settings", default=SETTINGS, help="KEY=VALUE of the environment, separated by commas")
    arguments = parser.parse_args()
    policy = load_policy(arguments.policy, device=arguments.device)
    processes: dict[str, ReasoningMDP] = {}
    for setting in ("plain", *arguments.settings.split(",")):
        keys = dict([setting.split("=")]) if setting != "plain" else {}
        mdp = make_mdp(
            "Chain",
            tokenizer=policy.tokenizer,
            operands=4,
            size=64,
            max_tokens=arguments.tokens,
            **keys,
        )
        assert mdp.prompts, "made before the clock runs"
        processes[setting] = mdp
    figures: dict[str, dict[str, dict[str, float]]] = {}
    print(f"{arguments.policy} on {policy.device}, {PROBLEMS} problems x {SAMPLES} samples, {arguments.tokens} tokens")
    print(f"{'':<28} {'read':>8} {'drawn':>8} {'response':>8} {'passed':>7} ", end="")
    print(f"{'seconds':>8} {'tokens/s':>9} {'of plain':>9}")
    for name in arguments.only.split(","):
        if name == "vllm" and not importlib.util.find_spec("vllm"):
            continue
        with contextlib.closing(make_sampler(name, policy)) as sampler:
            rounds: dict[str, list[Round]] = {setting: [] for setting in processes}
            for repeat in range(arguments.repeats + 1):
                for setting, mdp in processes.items():
                    one = measured(sampler, mdp, repeat)
                    if repeat:
                        rounds[setting].append(one)
        figures[name] = {}
        for setting, each in rounds.items():
            speed = statistics.median(one.response / one.seconds for one in each)
            read, drawn, response, seconds = map(statistics.median, zip(*each, strict=True))
            row = {"read": read, "drawn": drawn, "response": response, "seconds": seconds, "tokens_per_second": speed}
            figures[name][setting] = row
            plain = figures[name]["plain"]
            row["of_plain"] = speed / plain["tokens_per_second"]
            row["passed"] = (read + drawn) / response * plain["response"] / (plain["read"] + plain["drawn"])
            print(f"{name:<5} {setting:<22} {read:>8.0f} {drawn:>8.0f} {response:>8.0f} {row['passed']:>7.2f} ", end="")
            print(f"{seconds:>8.2f} {speed:>9.0f} {row['of_plain']:>9.2f}", flush=True)
    print(json.dumps({"policy": arguments.policy, "figures": figures}))


if __name__ == "__main__":
    main()
