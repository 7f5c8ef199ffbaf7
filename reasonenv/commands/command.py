"""What all commands share: a Typer application, and the one way in which settings are written and explained."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from reasonenv.errors import UserError, unknown
from reasonenv.registry import refusing_code

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
ENV_ID = "an id from `reasonenv list envs`, or file.py:id"
Environment = Annotated[str, typer.Argument(metavar="ENV_ID", help=ENV_ID)]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON and nothing else")]
Quiet = Annotated[bool, typer.Option("--quiet", help="show the result alone: no progress, no tables along the way")]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="run the code that the folder's settings name")]
KEY = re.compile(r"[A-Za-z_][\w.]*")
RECORDS = {"train": "RunConfig", "eval": "EvalConfig", "doctor": "DoctorConfig"}  # in `experiment.config`
SETTINGS, ARGUMENTS = "settings", "arguments"  # of a command line, in the `meta` of its context


class Group(TyperGroup):
    """Commands by name; an unknown one is told with the nearest."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        names = self.list_commands(ctx)
        if args[0] not in names:
            raise unknown("command", args[0], names)
        return super().resolve_command(ctx, args)


class SettingsCommand(TyperCommand):
    """A command with settings: `lr=1e-4`, `--lr 1e-4` and `--lr=1e-4` are the same, wherever they stand.

    Every option that the command does not have itself is one; `settings` gives them. `--help` explains those of its
    record (`RECORDS`), and of the agent and environment that stand before it.
    """

    allow_extra_args = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        takes_value: dict[str, bool] = {}
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "option":
                takes_value.update(dict.fromkeys(parameter.opts, not getattr(parameter, "is_flag", False)))
        others, positional, ctx.meta[SETTINGS] = _divide(args, takes_value)
        arguments = [parameter.name for parameter in self.params if parameter.param_type_name == "argument"]
        ctx.meta[ARGUMENTS] = dict(zip(arguments, positional, strict=False))
        rest = super().parse_args(ctx, others)
        if rest:
            raise UserError(f"{rest[0]!r} is not KEY=VALUE; settings are written as lr=1e-4 or --lr 1e-4")
        return rest

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        from reasonenv.catalog import agent_summary

        super().format_help_text(ctx, formatter)
        agent = ctx.meta[ARGUMENTS].get("agent")
        if agent is not None:
            formatter.write(f"\n  {agent}: {agent_summary(agent)}\n")

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from reasonenv.experiment import config

        arguments = ctx.meta[ARGUMENTS]
        record = getattr(config, RECORDS.get(str(self.name), ""), None)
        for title, section in config.explained(record, arguments.get("agent"), arguments.get("env")).items():
            formatter.write(f"\n{title}, as KEY=VALUE or --key VALUE:\n")
            formatter.write("".join(f"{line}\n" for line in config.setting_lines(section)))
        for name in ("agent", "env"):
            if name in [parameter.name for parameter in self.params] and name not in arguments:
                formatter.write(f"\n--help behind {name.upper()} shows its settings too\n")
                break
        super().format_epilog(ctx, formatter)


def application(**options: Any) -> typer.Typer:
    """A Typer application that prints plain text, and leaves exceptions to `reasonenv.cli`."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT,
        **options,
    )


def reading(place: Path | str, typed: Iterable[str] = (), *, trust_code: bool) -> AbstractContextManager[None]:
    """Around reading settings from a folder: no code that they name runs, unless a person has typed or trusts it."""
    return nullcontext() if trust_code else refusing_code(str(place), typed)


def settings(context: typer.Context) -> dict[str, str]:
    """The settings of a `SettingsCommand`, as they were written."""
    written: dict[str, str] = context.meta[SETTINGS]
    return written


def _divide(args: Sequence[str], takes_value: Mapping[str, bool]) -> tuple[list[str], list[str], dict[str, str]]:
    """The words of a command line that are no settings, the positional ones among them, and the settings."""
    others: list[str] = []
    positional: list[str] = []
    values: dict[str, str] = {}
    rest = list(args)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        key = name.removeprefix("--").replace("-", "_")
        if name in takes_value:
            others.append(word)
            if takes_value[name] and not equals and rest:
                others.append(rest.pop(0))
        elif KEY.fullmatch(key) and (equals or name.startswith("--")):
            if not equals and not rest:
                raise UserError(f"{name} has no value; settings are written as lr=1e-4 or --lr 1e-4")
            values[key] = value if equals else rest.pop(0)
        else:
            others.append(word)
            positional.append(word)
    return others, positional, values
