"""A position in the tokens of an answer, and what every rule of the grammar does with it."""

from __future__ import annotations

from reasonenv.verify.algebra.expression import Unreadable
from reasonenv.verify.algebra.lexer import Token

MAX_DEPTH = 40
_END = Token("nothing")


class Cursor:
    """A position in the tokens, and how deep it is in brackets."""

    def __init__(self, read: list[Token]) -> None:
        self.tokens, self.at = [*read, _END, _END, _END], 0
        self.depth = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    @property
    def ended(self) -> bool:
        return self.next is _END

    def ahead(self, *kinds: str) -> bool:
        """Whether the next tokens are of these kinds."""
        return tuple(token.kind for token in self.tokens[self.at : self.at + len(kinds)]) == kinds

    def comes(self, *kinds: str) -> bool:
        """Whether a token of these kinds stands anywhere behind the position."""
        return any(token.kind in kinds for token in self.tokens[self.at :])

    def take(self, *kinds: str) -> Token | None:
        if self.next.kind not in kinds:
            return None
        self.at += 1
        return self.tokens[self.at - 1]

    def drop(self, kind: str, end: str) -> None:
        """Removes the tokens of a kind up to the next one of the kind `end`."""
        stop = next((at for at in range(self.at, len(self.tokens)) if self.tokens[at].kind == end), len(self.tokens))
        self.tokens[self.at : stop] = [token for token in self.tokens[self.at : stop] if token.kind != kind]

    def need(self, kind: str) -> Token:
        token = self.take(kind)
        if token is None:
            raise self.unexpected(f"{kind} expected")
        return token

    def unexpected(self, instead: str) -> Unreadable:
        return Unreadable(f"{instead}, {self.next.text or self.next.kind} found")

    def nested(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}")
