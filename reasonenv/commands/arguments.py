"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from reasonenv.errors import UserError


def environment(parser: argparse.ArgumentParser) -> None:
    """ENV_ID and the settings behind it."""
    parser.add_argument("env", metavar="ENV_ID", help="an id from `reasonenv list envs`, or file.py:id")
    parser.add_argument(
        "keys", nargs="*", default=(), metavar="KEY=VALUE", help="settings of the environment (and agent and run)"
    )


def policy(parser: argparse.ArgumentParser) -> None:
    """--policy"""
    text = "tiny, smollm2-135m, a run's folder, a path or a hub id (default tiny)"
    parser.add_argument("--policy", default="tiny", help=text)


def machine(parser: argparse.ArgumentParser) -> None:
    """--seed, --device and --dtype, of commands that load a policy and leave no run."""
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default=None, help="float32 or bfloat16 (default: what suits the policy)")


def settings(pairs: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE words as a dictionary. Raises `UserError` for a word that is none."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UserError(f"{pair!r} is not KEY=VALUE; settings are written as lr=1e-4")
        found[key] = value
    return found
