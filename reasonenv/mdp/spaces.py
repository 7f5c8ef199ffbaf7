"""`UnicodeText`: the space of all texts, which Gymnasium's own `Text` (a charset, one character at least) is not."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces


class UnicodeText(spaces.Text):
    """Any text that UTF-8 can write, of at most `max_length` characters, the empty one included.

    Samples are short, with characters from all of Unicode, so that they fit the budget of any task. A vector of them is
    a tuple; shared memory has no place for it (`AsyncVectorEnv(..., shared_memory=False)`).
    """

    def __init__(self, max_length: int = 2**31 - 1, *, seed: int | None = None) -> None:
        super().__init__(max_length, min_length=0, charset=" ", seed=seed)  # never asked for

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A random text; its length is geometric with mean 2. There is no charset, so a mask is refused."""
        if mask is not None or probability is not None:
            raise ValueError("UnicodeText has no charset that a mask could speak of; sample without one")
        length = min(int(self.np_random.geometric(1 / 3)) - 1, self.max_length)
        points = self.np_random.integers(0x110000 - 0x800, size=length)
        return "".join(chr(p if p < 0xD800 else p + 0x800) for p in points)  # the 2,048 surrogates are no characters

    def contains(self, x: Any) -> bool:
        if not isinstance(x, str) or len(x) > self.max_length:
            return False
        try:
            x.encode()
        except UnicodeEncodeError:  # a lone surrogate
            return False
        return True

    def __repr__(self) -> str:
        return f"UnicodeText({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and self.max_length == other.max_length

    __hash__ = None  # type: ignore[assignment]  # as every space
