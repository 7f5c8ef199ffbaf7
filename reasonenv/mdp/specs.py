"""Settings that name several things, each perhaps with an argument: `retry:3+mine.py:judge`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from reasonenv.errors import UserError
from reasonenv.registry import Registry

Named = str | Any  # a name, or a thing of Python
Several = Named | Sequence[Named] | None


def divided(several: Several) -> list[Named]:
    """The parts of a setting: names joined by `+`, one thing, or a list of both; none for None."""
    if several is None:
        return []
    if isinstance(several, str):
        return list(several.split("+"))
    return list(several) if isinstance(several, Sequence) else [several]


def split(registry: Registry[Any], part: str) -> tuple[str, list[str]]:
    """The name, and perhaps the argument, in NAME, NAME:ARGUMENT, module:name or file.py:name."""
    name, colon, argument = part.partition(":")
    if not colon or name.endswith(".py") or (name not in registry and argument.isidentifier()):
        return part, []
    registry.check_name(name)
    return name, [argument]


def built(registry: Registry[Any], part: Named) -> Any:
    """The thing that a part of a setting names or is. A class is instantiated, with the argument if there is one.

    Raises `UserError` for an unknown name, and for an argument of what takes none.
    """
    if not isinstance(part, str):
        return part
    name, arguments = split(registry, part)
    thing: Any = registry.find(name)
    if not isinstance(thing, type):
        if arguments:
            raise UserError(f"{registry.kind} {name!r} takes no argument, and {part!r} gives one; write {name}")
        return thing
    try:
        inspect.signature(thing).bind(*arguments)
    except TypeError as error:
        raise UserError(f"{registry.kind} {part!r}: {error}; write NAME:ARGUMENT with what {name} takes") from None
    return registry.call(name, *arguments)


def code(registry: Registry[Any], several: Several) -> list[Any]:
    """The classes and functions that a setting names or holds, none of them instantiated."""
    things = []
    for part in divided(several):
        things.append(registry.find(split(registry, part)[0]) if isinstance(part, str) else part)
    return things
