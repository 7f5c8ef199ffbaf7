"""`reasonenv eval`: figures of one policy on held-out problems."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path

from reasonenv.commands.arguments import environment, machine, settings

HELP = "Measure greedy accuracy, maj@k and pass@k of a run or a policy on held-out problems."
EXAMPLE = "reasonenv eval smollm2-135m reasonenv/GSM8K-Response-v0 --samples 8 --problems 100"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("policy", metavar="RUN_OR_POLICY", help="a run's folder, a policy's name, a path or a hub id")
    environment(parser)
    text = "sampled answers a problem (default 0: greedy)"
    parser.add_argument("--samples", type=int, default=0, metavar="K", help=text)
    parser.add_argument("--problems", type=int, default=200, help="the first ones of what is held out (default 200)")
    text = "test, or validation: training problems that runs with holdout=validation do not train on (default test)"
    parser.add_argument("--holdout", default="test", metavar="SPLIT", help=text)
    parser.add_argument("--temperature", type=float, default=1.0, help="of the sampled answers (default 1)")
    text = "the sampled answers are of the K likeliest tokens alone (default 0: all)"
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help=text)
    text = "and of the fewest tokens whose mass reaches P (default 1: all)"
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help=text)
    text = "a run of `train orm`: rerank@k and weighted@k by its scores"
    parser.add_argument("--orm", default=None, metavar="RUN", help=text)
    parser.add_argument("--sampler", default="torch", help="torch, vllm or hf (default torch)")
    machine(parser)
    parser.add_argument("--out", type=Path, default=None, help="Parquet file for every answer")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON and nothing else")


def run(arguments: argparse.Namespace) -> None:
    from reasonenv.experiment.assess import assess
    from reasonenv.experiment.config import describe_eval

    config = replace(
        describe_eval(arguments.policy, arguments.env, settings(arguments.keys)),
        samples=arguments.samples,
        problems=arguments.problems,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed,
        sampler=arguments.sampler,
        device=arguments.device,
        dtype=arguments.dtype,
        orm=arguments.orm,
        holdout=arguments.holdout,
    )
    summary = assess(config, out=arguments.out, quiet=arguments.json)
    if arguments.json:
        print(json.dumps({name: {f.name: getattr(e, f.name) for f in fields(e)} for name, e in summary.items()}))
        return
    for name, e in summary.items():
        print(f"{name:<16} {e.value:.3f}  [{e.low:.3f}, {e.high:.3f}]  n = {e.n}")
