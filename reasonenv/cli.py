"""The commands. A user's mistake is one line on stderr and exit code 2; nothing prints a traceback for it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from reasonenv import registry
from reasonenv.errors import UserError

if TYPE_CHECKING:
    from reasonenv.mdp.env import ReasoningEnv

EXAMPLES = {
    "list": "reasonenv list agents",
    "play": "reasonenv play reasonenv/Chain-Step-v0 operands=4",
    "train": "reasonenv train grpo reasonenv/Chain-Response-v0 --policy runs/prior --out runs/grpo lr=1e-4",
    "eval": "reasonenv eval smollm2-135m reasonenv/GSM8K-Response-v0 --samples 8 --problems 100",
    "bench": "reasonenv bench run quickstart --out runs/quickstart",
    "report": "reasonenv report runs/quickstart",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code: 0, 2 for a user's mistake, 130 after Ctrl-C."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if os.getcwd() not in sys.path:  # `python -m` puts it there: a user's module:name is found either way
        sys.path.append(os.getcwd())
    goes_on = False
    try:
        parser = _parser()
        arguments, rest = parser.parse_known_args(argv)
        # argparse gives up on KEY=VALUE behind an option; they may stand anywhere.
        if rest and (not hasattr(arguments, "keys") or any(word.startswith("-") for word in rest)):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        arguments.keys = [*getattr(arguments, "keys", ()), *rest]
        goes_on = arguments.command in (_train, _bench_run)
        arguments.command(arguments)
    except UserError as error:
        print(f"reasonenv: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        hint = "; the same command goes on from the last checkpoint" if goes_on else ""
        print(f"\nreasonenv: interrupted{hint}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `reasonenv list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


class _Parser(argparse.ArgumentParser):
    """Tells a mistake as every other is told: in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="reasonenv", description="Gymnasium for LLM reasoning.", epilog=f"example: {EXAMPLES['train']}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, epilog=f"example: {EXAMPLES[name]}")
        sub.set_defaults(command=run)
        return sub

    sub = command("list", _list, "Show what there is.")
    sub.add_argument("what", nargs="?", choices=("envs", "agents", "policies", "suites"), help="default: everything")
    sub.add_argument("--json", action="store_true", help="for programs")

    sub = command("play", _play, "Type tokens, steps or a response yourself, and see what they earn.")
    _env(sub)
    sub.add_argument("--problem", type=int, default=0, help="which problem (default 0)")

    sub = command("train", _train, "Train an agent. The same command again goes on where it stopped.")
    sub.add_argument(
        "agent", metavar="AGENT", help="a name from `reasonenv list agents`, module:Class or file.py:Class"
    )
    _env(sub)
    _policy(sub)
    sub.add_argument("--iterations", type=int, default=100, help="how often to sample and learn (default 100)")
    sub.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")
    sub.add_argument("--out", type=Path, required=True, help="folder of the run")
    sub.add_argument("--json", action="store_true", help="print the summary as JSON and nothing else")

    sub = command("eval", _eval, "Measure maj@1, maj@k and pass@k of a run or a policy on held-out problems.")
    sub.add_argument("policy", metavar="RUN_OR_POLICY", help="a run's folder, a policy's name, a path or a hub id")
    _env(sub)
    sub.add_argument(
        "--samples", type=int, default=0, metavar="K", help="sampled answers a problem (default 0: greedy)"
    )
    sub.add_argument("--problems", type=int, default=200, help="the first ones of the test split (default 200)")
    sub.add_argument("--temperature", type=float, default=1.0, help="of the sampled answers (default 1)")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--device", default="cpu")
    sub.add_argument("--dtype", default=None, help="float32 or bfloat16 (default: what suits the policy)")
    sub.add_argument("--out", type=Path, default=None, help="JSON lines file for every answer")
    sub.add_argument("--json", action="store_true", help="print the figures as JSON and nothing else")

    bench = command("bench", None, "Run a suite of agents x environments x seeds, or report on one.")
    actions = bench.add_subparsers(required=True, metavar="run|report")
    sub = actions.add_parser("run", epilog=f"example: {EXAMPLES['bench']}", help="run what is missing, then report")
    sub.add_argument("suite", metavar="SUITE", help="a name from `reasonenv list suites`, or a TOML file")
    sub.add_argument("--out", type=Path, default=None, help="folder of the suite (default runs/SUITE)")
    sub.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cells at a time (default: cores)")
    sub.set_defaults(command=_bench_run)
    sub = actions.add_parser("report", epilog=f"example: {EXAMPLES['report']}", help="rebuild the report")
    sub.add_argument("folder", metavar="DIR", type=Path)
    sub.set_defaults(command=_report)

    sub = command("report", _report, "Rebuild the report of a suite from its stored samples.")
    sub.add_argument("folder", metavar="DIR", type=Path)
    return parser


def _env(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("env", metavar="ENV_ID", help="an id from `reasonenv list envs`, or file.py:id")
    sub.add_argument("keys", nargs="*", metavar="KEY=VALUE", help="settings of the environment (and agent and run)")


def _policy(sub: argparse.ArgumentParser) -> None:
    text = "tiny, smollm2-135m, a run's folder, a path or a hub id (default tiny)"
    sub.add_argument("--policy", default="tiny", help=text)


def _keys(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UserError(f"{pair!r} is not KEY=VALUE; settings are written as lr=1e-4")
        found[key] = value
    return found


def _list(arguments: argparse.Namespace) -> None:
    from reasonenv.evaluate.suite import suites
    from reasonenv.policy.pretrained import KNOWN

    ids = [f"reasonenv/{t}-{g}-v0" for t in registry.tasks() for g in registry.GRANULARITIES]
    told: dict[str, dict[str, str]] = {
        "envs": dict.fromkeys(ids, ""),
        "agents": {
            name: (registry.find_agent(name).__doc__ or "").strip().partition("\n")[0] for name in registry.agents()
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


def _play(arguments: argparse.Namespace) -> None:
    from reasonenv.evaluate.run import environment_keys
    from reasonenv.mdp.make import make_env

    task, granularity = registry.parse_env_id(arguments.env)
    env = make_env(task, granularity, **environment_keys(task, _keys(arguments.keys)))
    _, info = env.reset(options={"problem": arguments.problem})
    unit = {"token": "characters, each of their tokens is an action", "step": "a step", "response": "the response"}
    print(f"{info['question']}\n\ntype {unit[granularity]}; an empty line ends the response; Ctrl-D leaves")
    over = False
    while not over:
        try:
            typed = input("> ")
        except EOFError:
            print()
            return
        over = _act(env, typed)
    print("\n" + env.render())


def _act(env: ReasoningEnv, typed: str) -> bool:
    """Takes what a person typed as actions and shows what they led to. True when the episode is over."""
    tokenizer = env.mdp.tokenizer
    ids = tokenizer.encode(f"{typed}\n") if typed else [tokenizer.eos_id]
    if env.granularity == "response":
        ids = tokenizer.encode(typed.replace("\\n", "\n"))
    actions: list[Any] = ids if env.granularity == "token" else [ids]
    for action in actions:
        _, reward, terminated, truncated, info = env.step(action)
        if reward or terminated or truncated or env.granularity != "token":
            print(f"  reward {reward:+.3f} {info['reward_terms']}  terminated={terminated} truncated={truncated}")
        if terminated or truncated:
            verdict = info["verdict"]
            print(f"  verdict {verdict.reason}: found {verdict.extracted!r}, gold {verdict.gold!r}")
            return True
    return False


def _train(arguments: argparse.Namespace) -> None:
    from reasonenv.evaluate.run import describe_run, train

    run = describe_run(
        arguments.agent,
        arguments.env,
        _keys(arguments.keys),
        policy=arguments.policy,
        seed=arguments.seed,
        iterations=arguments.iterations,
    )
    summary = train(run, arguments.out, quiet=arguments.json)
    if arguments.json:
        print(json.dumps(summary))
        return
    gain = summary["gain"]
    print(
        f"held-out accuracy on {summary['problems']} problems: {summary['before']:.3f} -> {summary['after']:.3f}, "
        f"paired difference {gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]\n"
        f"policy: {arguments.out / 'policy'}   curves: tensorboard --logdir {arguments.out}"
    )


def _eval(arguments: argparse.Namespace) -> None:
    from reasonenv.evaluate.run import assess

    summary = assess(
        arguments.policy,
        arguments.env,
        _keys(arguments.keys),
        samples=arguments.samples,
        problems=arguments.problems,
        temperature=arguments.temperature,
        seed=arguments.seed,
        device=arguments.device,
        dtype=arguments.dtype,
        out=arguments.out,
        quiet=arguments.json,
    )
    if arguments.json:
        print(json.dumps({name: {f.name: getattr(e, f.name) for f in fields(e)} for name, e in summary.items()}))
        return
    for name, e in summary.items():
        print(f"{name:<12} {e.value:.3f}  [{e.low:.3f}, {e.high:.3f}]  n = {e.n}")


def _bench_run(arguments: argparse.Namespace) -> None:
    from reasonenv.evaluate.report import console_table
    from reasonenv.evaluate.suite import read_suite, run_suite, suite_path

    if arguments.jobs < 1:
        raise UserError(f"--jobs is {arguments.jobs}; it must be at least 1")
    suite = read_suite(suite_path(arguments.suite))
    out = arguments.out or Path("runs") / suite.name
    report = run_suite(suite, out, jobs=arguments.jobs, command=f"reasonenv bench run {arguments.suite}")
    print(f"{console_table(out)}\nreport: {report}")


def _report(arguments: argparse.Namespace) -> None:
    from reasonenv.evaluate.report import console_table, write_report

    if not (arguments.folder / "suite.json").is_file():
        raise UserError(f"{arguments.folder} is not the folder of a suite: it has no suite.json")
    report = write_report(arguments.folder)
    print(f"{console_table(arguments.folder)}\nreport: {report}")
