"""Which samples are worth learning from."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reasonenv.core import Trajectory

_EQUATION = re.compile(r"[-+*/().\d\s,$%]*\d[-+*/().\d\s,$%]*=\s*\$?-?[\d,.]*\d")
_NOISE = re.compile(r"[\s,$%]")


def operations(text: str) -> tuple[str, ...]:
    """The arithmetic of a solution: its equations in their order, without spaces and signs of currency.

    Two solutions with the same sequence are the same solution (2403.04642; RFT, 2308.01825). A text without any
    equation is its own words, lower-cased and evenly spaced.
    """
    found = tuple(_NOISE.sub("", m).strip(".") for m in _EQUATION.findall(text))
    return found or (" ".join(text.lower().split()),)


def correct(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """Those whose answer was verified as correct."""
    return [t for t in trajectories if t.verdict.correct]
