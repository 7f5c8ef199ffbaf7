"""The style sheet and the script of the page: files of the package, for a page that needs no other file."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@cache
def stylesheet() -> str:
    """`report.css`."""
    return (FOLDER / "report.css").read_text(encoding="utf-8")


@cache
def script() -> str:
    """`report.js`."""
    return (FOLDER / "report.js").read_text(encoding="utf-8")


def script_digest() -> str:
    """The hash by which a Content-Security-Policy lets this script run and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()


@cache
def palette() -> dict[str, str]:
    """CSS variable -> colour of the light page."""
    light = re.search(r":root\s*\{(.*?)\}", stylesheet(), re.DOTALL)
    assert light is not None, "report.css begins with the colours of the light page"
    return dict(re.findall(r"(--[\w-]+):\s*(#\w+)", light.group(1)))
