"""Settings that name several things, each perhaps with an argument: `retry:3+mine.py:judge`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from reasonenv.errors import UserError
from reasonenv.registry import Registry

Named = str | Callable[..., Any]
Several = Named | Sequence[Named] | None


def divided(several: Several) -> list[Named]:
    """The parts of a setting: texts joined by `+`, a callable, or a list of them; none for None."""
    if several is None:
        return []
    if isinstance(several, str):
        return list(several.split("+"))
    return [several] if callable(several) else list(several)


def split(registry: Registry[Any], part: str) -> tuple[str, list[str]]:
    """The name, and perhaps the argument, in NAME, NAME:ARGUMENT, module:name or file.py:name."""
    name, colon, argument = part.partition(":")
    return (name, [argument]) if colon and name in registry else (part, [])


def built(registry: Registry[Any], part: Named) -> Any:
    """The thing that a part of a setting names or is. A class is instantiated, with the argument if there is one.

    Raises `UserError` for an unknown name, and for an argument of what takes none.
    """
    if not isinstance(part, str):
        return part
    name, arguments = split(registry, part)
    thing: Any = registry.find(name)
    if isinstance(thing, type):
        return registry.call(name, *arguments)
    if arguments:
        raise UserError(f"{registry.kind} {name!r} takes no argument, and {part!r} gives one; write {name}")
    return thing


def code(registry: Registry[Any], several: Several) -> list[Any]:
    """The classes and functions that a setting names or holds, none of them instantiated."""
    things = []
    for part in divided(several):
        things.append(registry.find(split(registry, part)[0]) if isinstance(part, str) else part)
    return things


def title(thing: Any) -> str:
    """The name of a function, or of the class of an object."""
    return str(getattr(thing, "__name__", type(thing).__name__))
