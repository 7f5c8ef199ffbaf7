"""`reasonenv check`: whether a task keeps what every task must keep."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict

from reasonenv import catalog
from reasonenv.commands.arguments import settings

HELP = "Check a task: golds, splits, seeds, prompts, Gymnasium's checker, granularity and replay."
EXAMPLE = "reasonenv check my_task.py:factory size=100"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "task", metavar="TASK", help="an id or name from `reasonenv list envs`, module:factory or file.py:factory"
    )
    parser.add_argument(
        "keys", nargs="*", default=(), metavar="KEY=VALUE", help="settings of the task and the environment"
    )
    parser.add_argument("--sample", type=int, default=200, help="problems of a split to look at (default 200)")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """0 if everything holds, 1 if something does not."""
    from reasonenv.checks import check_task, table
    from reasonenv.experiment.config import environment_keys

    task = arguments.task
    if re.search(r"-v[0-9]+$", task):
        task, _ = catalog.parse_env_id(task)
    checks = check_task(task, sample=arguments.sample, **environment_keys(task, settings(arguments.keys)))
    print(json.dumps([asdict(check) for check in checks], indent=1) if arguments.json else table(checks))
    failed = sum(not check.holds for check in checks)
    if not arguments.json:
        print(f"\n{task}: {f'{failed} of {len(checks)} checks failed' if failed else 'every check holds'}")
    return int(failed > 0)
