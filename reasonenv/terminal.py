"""What people see: text that others wrote, and progress. The only place that prints."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


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


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook, or of another front end of IPython."""
    return "get_ipython" in vars(sys.modules["builtins"])


def import_tqdm() -> type[tqdm[Any]]:
    """The bar that suits the place. Where a notebook has no widgets it is a line of text, of which tqdm would warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm


def progress_bar(total: int, unit: str, *, initial: int = 0, quiet: bool = False) -> tqdm[Any]:
    """A bar that moves where somebody watches it: in a terminal or a notebook. A log file gets none."""
    hidden = quiet or not (sys.stderr.isatty() or is_notebook())
    return import_tqdm()(total=total, initial=initial, unit=f" {unit}", dynamic_ncols=True, disable=hidden)
