"""Mistakes of a user, told in one line: what was wrong, what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

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


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a `name` that is not one of `known`: names it, suggests the nearest, else lists them."""
    options = sorted(known)
    near = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
    listed = ", ".join(options[:MOST]) + (f" and {len(options) - MOST} more" if len(options) > MOST else "")
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {listed or 'none'}"
    return UserError(f"unknown {kind} {name!r}; {hint}")
