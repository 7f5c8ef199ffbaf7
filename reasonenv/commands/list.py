"""`reasonenv list`: environments, agents, policies and suites by name."""

from __future__ import annotations

import argparse
import json

from reasonenv import catalog

HELP = "Show what there is."
EXAMPLE = "reasonenv list agents"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", choices=("envs", "agents", "policies", "suites"), help="default: everything")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> None:
    from reasonenv.experiment.suite import suites
    from reasonenv.policy.pretrained import KNOWN

    ids = [f"reasonenv/{t}-{g}-v0" for t in catalog.TASKS for g in catalog.GRANULARITIES]
    told: dict[str, dict[str, str]] = {
        "envs": dict.fromkeys(ids, ""),
        "agents": {
            name: (catalog.find_agent(name).__doc__ or "").strip().partition("\n")[0] for name in catalog.AGENTS
        },
        "policies": dict.fromkeys(KNOWN, ""),
        "suites": suites(),
    }
    if arguments.what:
        told = {arguments.what: told[arguments.what]}
    if arguments.json:
        print(json.dumps(told, indent=1))
        return
    for what, rows in told.items():
        print(what)
        for name, text in rows.items():
            print(f"  {name:<32} {text}".rstrip())
