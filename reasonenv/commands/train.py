"""`reasonenv train`: one agent on one environment."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NoReturn

from reasonenv.commands.arguments import environment, policy, settings

HELP = "Train an agent. The same command again goes on where it stopped."
EXAMPLE = "reasonenv train grpo reasonenv/Chain-Response-v0 --policy runs/prior --out runs/grpo lr=1e-4"
RESUMES = True
OWN_HELP = True


class _Help(argparse.Action):
    """`train --help` shows the options; `train AGENT --help` and `train AGENT ENV_ID --help` the settings too."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: object) -> NoReturn:
        parser.print_help()
        if (agent := getattr(namespace, "agent", None)) is not None:
            _explain(agent, getattr(namespace, "env", None))
        parser.exit()


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-h", "--help", action=_Help, nargs=0, help="also after AGENT and ENV_ID: their settings")
    text = "a name from `reasonenv list agents`, module:Class or file.py:Class"
    parser.add_argument("agent", metavar="AGENT", help=text)
    environment(parser)
    policy(parser)
    parser.add_argument("--iterations", type=int, default=100, help="how often to sample and learn (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    text = "go on although the task's problems have changed since the run began"
    parser.add_argument("--changed-data", action="store_true", help=text)
    text = "go on although the code of agent or task has changed since the run began; run.json tells of it"
    parser.add_argument("--changed-code", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON and nothing else")


def _explain(agent: str, env: str | None) -> None:
    """Prints what KEY=VALUE may be, with symbol, default and source."""
    from reasonenv.catalog import find_agent
    from reasonenv.experiment.config import RunConfig, explained
    from reasonenv.settings import as_text

    print(f"\n{agent}: {(find_agent(agent).__doc__ or '').strip().partition(chr(10))[0]}")
    for title, section in explained(RunConfig, agent, env).items():
        print(f"\n{title}, as KEY=VALUE:")
        for each in section:
            print(f"  {each.key:<24} {as_text(each.default):<8} {each.meaning}".rstrip())
    if env is None:
        print(f"\nreasonenv train {agent} ENV_ID --help shows those of the environment too")


def run(arguments: argparse.Namespace) -> None:
    from reasonenv.experiment.config import describe_run
    from reasonenv.experiment.train import train

    run = describe_run(
        arguments.agent,
        arguments.env,
        settings(arguments.keys),
        policy=arguments.policy,
        seed=arguments.seed,
        iterations=arguments.iterations,
    )
    summary = train(
        run,
        arguments.out,
        changed_data=arguments.changed_data,
        changed_code=arguments.changed_code,
        quiet=arguments.json,
    )
    if arguments.json:
        print(json.dumps(summary))
        return
    gain, what = summary["gain"], "accuracy of the scores" if "auc" in summary else "greedy accuracy"
    print(
        f"{what} on {summary['problems']} held-out problems: {summary['before']:.3f} -> {summary['after']:.3f}, "
        f"paired difference {gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
    )
    if summary.get("auc") is not None:
        print(f"a right answer is scored above a wrong one with chance {summary['auc']:.3f} (AUC)")
    if "negated_goal" in summary:
        print(f"behind the negated goal: {summary['negated_goal']:.3f}")
    if summary.get("signal"):
        print(summary["signal"])
    made = [f"{name}: {path}" for name in ("policy", "scorer") if (path := arguments.out / name).is_dir()]
    print("   ".join([*made, f"curves: tensorboard --logdir {arguments.out}"] if made else ["nothing was trained"]))
