"""Tables of the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def plain(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts; the second line of a text is small."""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(text: str) -> str:
    first, _, second = text.partition("\n")
    return f"<td>{escape(first)}{f'<small>{escape(second)}</small>' if second else ''}</td>"


def folded(head: Sequence[str], rows: Sequence[Sequence[str]], title: str = "Numbers") -> str:
    """The same, shown when it is asked for: the numbers behind a picture."""
    return f"<details><summary>{title}</summary>{plain(head, rows)}</details>"
