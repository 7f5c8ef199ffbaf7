"""Text that others wrote, for a terminal: the only place that prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any


def printable(text: str, *, keep: str = "") -> str:
    """`text` with everything that would move the cursor, colour, reorder or hide shown as its escape, not obeyed.

    Characters in `keep`, such as line breaks, are left as they are.
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def show(*lines: str) -> None:
    """Prints lines, each of them as one: a line break in a name is shown and not obeyed."""
    print("\n".join(map(printable, lines)))


def show_json(value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> None:
    """Prints JSON in ASCII, which has an escape of its own for everything that a terminal obeys."""
    print(json.dumps(value, indent=indent, default=default).replace("\x7f", "\\u007f"))


def complain(message: str) -> None:
    """Prints one line on stderr, with the name of the program before it."""
    print(f"reasonenv: {printable(' '.join(message.split()))}", file=sys.stderr)
