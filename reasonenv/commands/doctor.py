"""`reasonenv doctor`: whether a policy can be trained on an environment here."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace

from reasonenv.commands.arguments import environment, machine, settings

HELP = "Look at a policy on an environment before training: tokens, verifier, signal, log-probs, memory."
EXAMPLE = "reasonenv doctor smollm2-135m reasonenv/SVAMP-Response-v0 prompt=few_shot max_tokens=28"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("policy", metavar="POLICY", help="a policy's name, a run's folder, a path or a hub id")
    environment(parser)
    parser.add_argument("--problems", type=int, default=8, help="training problems to sample (default 8)")
    parser.add_argument("--samples", type=int, default=4, metavar="K", help="answers a problem (default 4)")
    parser.add_argument("--lora", type=int, default=None, metavar="RANK", help="as if only an adapter were trained")
    machine(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON and nothing else")


def run(arguments: argparse.Namespace) -> int:
    """0 if nothing is wrong, 1 if something is."""
    from reasonenv.experiment.config import describe_doctor
    from reasonenv.experiment.doctor import examine

    config = replace(
        describe_doctor(arguments.policy, arguments.env, settings(arguments.keys)),
        problems=arguments.problems,
        samples=arguments.samples,
        seed=arguments.seed,
        device=arguments.device,
        dtype=arguments.dtype,
        lora=arguments.lora,
    )
    found = examine(config)
    wrong = sum(finding.state == "wrong" for finding in found)
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in found], indent=1))
        return int(wrong > 0)
    for finding in found:
        print(f"{finding.state:<6} {finding.name:<10} {finding.seen}")
        if finding.change:
            print(f"{'':<18}-> {finding.change}")
    print(f"\n{f'{wrong} of {len(found)} things are wrong' if wrong else 'nothing is wrong'}")
    return int(wrong > 0)
