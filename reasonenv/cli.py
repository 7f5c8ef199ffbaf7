"""The command line. A user's mistake is one line on stderr and exit code 2; nothing prints a traceback for it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer

from reasonenv.commands.command import CONTEXT, Group
from reasonenv.errors import UserError, unknown
from reasonenv.terminal import complain, show
from reasonenv.version import VERSION

# What a disk, or a name of a file, may answer that only the user can mend.
STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE}
STORAGE |= {errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EMFILE, errno.ENFILE}
# Files of `reasonenv/commands`, in the order of --help.
COMMANDS = (
    "list",
    "play",
    "check",
    "doctor",
    "train",
    "eval",
    "export",
    "bench",
    "report",
    "compare",
    "diff",
    "audit-verifier",
)
RESUMING = {"train", "bench"}  # the same command again goes on from the last checkpoint


class _Commands(Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        module = import_module(f"reasonenv.commands.{cmd_name.replace('-', '_')}")
        return typer.main.get_command(module.app)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code: the command's own, 2 for a user's mistake, 130 after Ctrl-C."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # a process that starts looks for no module in the working folder
    words = list(sys.argv[1:])
    if argv is not None:
        words = list(argv)
    if words == ["--version"]:
        show(f"reasonenv {VERSION}")
        return 0
    try:
        return _run(words)
    except UserError as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt as interrupt:
        message = "interrupted"
        if str(interrupt):
            message += f"; {interrupt}"
        if RESUMING.intersection(words[:1]):
            message += "; the same command goes on from the last checkpoint"
        sys.stderr.write("\n")  # behind the ^C that a terminal shows
        complain(message)
        return 130
    except MemoryError:
        complain("out of memory; ask for less: sizes, budgets or batches")
        return 2
    except BrokenPipeError:  # the reader of our output has gone, as in `reasonenv list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in STORAGE:
            raise
        complain(f"{error.filename or 'a file'}: {error.strerror}")
        return 2
    return 0


def _run(words: list[str]) -> int:
    """The exit code of a command line. Raises `UserError` for what Typer refuses."""
    commands = _Commands(
        help="Gymnasium for LLM reasoning. `reasonenv --version` says which version this is.",
        epilog=f"example: {import_module('reasonenv.commands.train').EXAMPLE}",
        context_settings=CONTEXT,
        rich_markup_mode=None,
    )
    try:
        with commands.make_context("reasonenv", words) as context:
            return commands.invoke(context) or 0
    except typer.Exit as left:  # after --help
        return left.exit_code
    except typer.TyperException as error:
        raise _one_line(error) from error


def _one_line(error: typer.TyperException) -> UserError:
    """What Typer refuses, as every other mistake is told, with the nearest option."""
    context: Any = getattr(error, "ctx", None)
    name = getattr(error, "option_name", None)
    if hasattr(error, "possibilities"):
        options = [option for parameter in context.command.get_params(context) for option in parameter.opts]
        return unknown("option", str(name), options)
    command = "reasonenv" if context is None else context.command_path  # without one: an option that lacks its value
    return UserError(f"{error.format_message().rstrip('.')}; see {command} --help")
