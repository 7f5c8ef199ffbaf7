"""Mistakes of a user, told in one line: what was wrong, what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from typing import Any

MOST = 40  # names in one line


class UserError(ValueError):
    """Bad input that only the user can mend. The command line prints its message alone and exits with code 2."""


class UnknownArgument(UserError, TypeError):
    """A keyword argument that nothing takes. A `TypeError` as Python's own, which some callers catch and mend."""


def check_known(kind: str, name: str, known: Collection[str]) -> None:
    """Raises `unknown` for a `name` that is not one of `known`."""
    if name not in known:
        raise unknown(kind, name, known)


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Raises `UserError` for a `value` of `name` outside `low` to `high`."""
    if not low <= value <= high:
        raise UserError(f"{name} is {value}; it must be {low} to {high}")


def title(thing: Any) -> str:
    """By which a message calls a function or a class, or an object: its name, or that of its class."""
    return str(getattr(thing, "__name__", type(thing).__name__))


def listed(names: Sequence[str], most: int = MOST) -> str:
    """The first names, and how many there are beside them."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a `name` that is not one of `known`: names it, suggests the nearest, else lists them."""
    options = sorted(known)
    near = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {listed(options) or 'none'}"
    return UserError(f"unknown {kind} {name!r}; {hint}")
