"""The style sheet and the script of the page: files of the package, which stand in the page itself."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@cache
def text_of(name: str) -> str:
    """`report.css` or `report.js`."""
    return (FOLDER / name).read_text(encoding="utf-8")


def digest(script: str) -> str:
    """By which a Content-Security-Policy lets this script run and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def palette() -> dict[str, str]:
    """CSS variable -> colour of the light page, with which the style sheet begins."""
    light, _, _ = text_of("report.css").partition("}")
    return dict(re.findall(r"(--[\w-]+):\s*(#\w+)", light))
