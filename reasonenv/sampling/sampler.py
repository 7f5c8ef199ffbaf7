"""The contract of every sampler: ids and seeds in, ids and log-probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from reasonenv.core import Completion, IntArray
from reasonenv.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """How to draw. A pure temperature, so that log-probabilities are those of the distribution really sampled."""

    max_tokens: int
    temperature: float = 1.0  # 0 is greedy; its log-probs are those of the model at temperature 1
    stop: tuple[int, ...] = ()  # tokens after which a completion may end; a sampler may write on

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise UserError(f"max_tokens is {self.max_tokens}; it must be at least 1")
        if not self.temperature >= 0:
            raise UserError(f"temperature is {self.temperature}; it must be 0 (greedy) or more")


class Sampler(Protocol):
    """Draws responses of a policy. Its arguments are ids and numbers, so it survives a process boundary."""

    def generate(
        self,
        prompts: Sequence[IntArray],
        seeds: Sequence[Sequence[int]],
        sampling: Sampling,
        progress: Callable[[int], None] = lambda finished: None,
    ) -> list[list[Completion]]:
        """One completion for each seed of each prompt: N prompts, G seeds each, `[N][G]` completions in that order.

        A sample is a function of (weights, prompt, seed, sampling) alone. `progress` is called with the number of rows
        that have just finished.
        """
        ...

    def sync(self, version: int) -> dict[str, float]:
        """Take over the policy's weights as they are now, under this version number. Returns figures for the log."""
        ...

    def close(self) -> None:
        """Stop whatever runs beside this process. Nothing can be drawn any more."""
        ...
