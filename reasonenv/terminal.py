"""Text that others wrote, for a terminal."""

from __future__ import annotations


def printable(text: str, *, keep: str = "") -> str:
    """`text` with everything that would move the cursor, colour, reorder or hide shown as its escape, not obeyed.

    Characters in `keep`, such as line breaks, are left as they are.
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
