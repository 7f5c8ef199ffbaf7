"""`reasonenv play`: a person takes the actions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from reasonenv import catalog
from reasonenv.commands.arguments import environment, settings
from reasonenv.terminal import printable

if TYPE_CHECKING:
    from reasonenv.mdp.env import ReasoningEnv

HELP = "Type tokens, steps or a response yourself, and see what they earn."
EXAMPLE = "reasonenv play reasonenv/Chain-Step-v0 operands=4"


def arguments(parser: argparse.ArgumentParser) -> None:
    environment(parser)
    parser.add_argument("--problem", type=int, default=0, help="which problem (default 0)")


def run(arguments: argparse.Namespace) -> None:
    from reasonenv.experiment.config import environment_keys
    from reasonenv.mdp.make import make_env

    task, granularity = catalog.parse_env_id(arguments.env)
    env = make_env(task, granularity, **environment_keys(task, settings(arguments.keys)))
    _, info = env.reset(options={"problem": arguments.problem})
    unit = {"token": "characters, each of their tokens is an action", "step": "a step", "response": "the response"}
    asked = printable(info["question"], keep="\n")
    print(f"{asked}\n\ntype {unit[granularity]}; an empty line ends the response; Ctrl-D leaves")
    if info["response"]:
        print(f"  so far {info['response']!r}")
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
        if env.mdp.stochastic:
            print(f"  so far {info['response']!r}")
        if terminated or truncated:
            verdict = info["verdict"]
            print(f"  verdict {verdict.reason}: found {verdict.extracted!r}, gold {verdict.gold!r}")
            return True
    return False
