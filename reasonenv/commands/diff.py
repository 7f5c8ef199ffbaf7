"""`reasonenv diff`: why two runs are not the same."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Say what differs between two runs: settings, versions, data, and where they first part."
EXAMPLE = "reasonenv diff runs/grpo runs/again"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="RUN", type=Path, help="folder of a run")
    parser.add_argument("second", metavar="RUN", type=Path)


def run(arguments: argparse.Namespace) -> None:
    from reasonenv.measures.pair import differences

    found = list(differences(arguments.first, arguments.second))
    print("\n".join(found or ["no difference but the time they took"]))
