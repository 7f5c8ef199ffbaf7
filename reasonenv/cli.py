"""The command line. A user's mistake is one line on stderr and exit code 2; nothing prints a traceback for it."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from reasonenv.errors import UserError
from reasonenv.terminal import printable

# What a disk may answer that only the user can mend.
STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
# Files of `reasonenv/commands`, in the order of --help.
COMMANDS = ("list", "play", "check", "doctor", "train", "eval", "bench", "report", "compare", "diff", "audit-verifier")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code: the command's own, 2 for a user's mistake, 130 after Ctrl-C."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if os.getcwd() not in sys.path:  # `python -m` puts it there: a user's module:name is found either way
        sys.path.append(os.getcwd())
    resumes = False
    try:
        parser = _parser()
        arguments, rest = parser.parse_known_args(argv)
        # argparse gives up on KEY=VALUE behind an option; they may stand anywhere.
        if rest and (not hasattr(arguments, "keys") or any(word.startswith("-") for word in rest)):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        arguments.keys = [*getattr(arguments, "keys", ()), *rest]
        resumes = arguments.resumes
        return arguments.run(arguments) or 0
    except UserError as error:
        print(f"reasonenv: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        saved = f"; {interrupt}" if str(interrupt) else ""
        hint = "; the same command goes on from the last checkpoint" if resumes else ""
        print(f"\nreasonenv: interrupted{saved}{hint}", file=sys.stderr)
        return 130
    except MemoryError:
        print("reasonenv: out of memory; ask for less: sizes, budgets or batches", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has gone, as in `reasonenv list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in STORAGE:
            raise
        print(f"reasonenv: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


class _Parser(argparse.ArgumentParser):
    """Tells a mistake as every other is told: in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    example = import_module("reasonenv.commands.train").EXAMPLE
    parser = _Parser(prog="reasonenv", description="Gymnasium for LLM reasoning.", epilog=f"example: {example}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f"reasonenv.commands.{name.replace('-', '_')}")
        epilog, usual = f"example: {module.EXAMPLE}", not getattr(module, "OWN_HELP", False)
        sub = commands.add_parser(name, help=module.HELP, description=module.HELP, epilog=epilog, add_help=usual)
        module.arguments(sub)
        sub.set_defaults(run=module.run, resumes=getattr(module, "RESUMES", False))
    return parser
