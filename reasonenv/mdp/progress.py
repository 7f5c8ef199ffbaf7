"""What a reward may see of a state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from reasonenv.core import Verdict


@dataclass  # not frozen, which would make it three times as slow to make
class Progress:
    """What a reward may see of a state: its text, its size, whether and how it is an end, and the verdict if so."""

    read: Callable[[], str] = field(repr=False)  # most terms never look at the text
    length: int  # response tokens
    budget: int  # max_tokens
    verdict: Verdict | None
    terminated: bool  # the response ended by itself
    truncated: bool  # the budget was used up

    @property
    def over(self) -> bool:
        """Whether nothing follows."""
        return self.terminated or self.truncated

    @cached_property
    def text(self) -> str:
        """The response so far, without its EOS."""
        return self.read()
