"""The contract of every sampler: ids and seeds in, ids and log-probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from reasonenv.core import Completion, IntArray
from reasonenv.errors import UserError
from reasonenv.tokenizer import Tokenizer

MAX_GAP = 0.2  # mean |log-prob of sampler - of trainer| in nats; far above bfloat16 noise, so something is broken


@dataclass(frozen=True)
class Sampling:
    """How to draw. Log-probabilities are always those of the distribution really sampled.

    Training rollouts are of a pure temperature: what `top_k` or `top_p` cut away has probability 0 for the sampler and
    not for the trainer. So they are for evaluation; see `Truncated`.
    """

    max_tokens: int
    temperature: float = 1.0  # 0 is greedy; its log-probs are those of the model at temperature 1
    stop: tuple[int, ...] = ()  # tokens after which a completion may end; a sampler may write on
    stop_strings: tuple[str, ...] = ()  # a completion ends with the token by which its text holds one of them
    top_k: int = 0  # only the so many likeliest tokens, and equals of the last; 0 for all
    top_p: float = 1.0  # of those, the fewest whose mass reaches it, and equals of the last (1904.09751)

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise UserError(f"max_tokens is {self.max_tokens}; it must be at least 1")
        if not self.temperature >= 0:
            raise UserError(f"temperature is {self.temperature}; it must be 0 (greedy) or more")
        if self.top_k < 0:
            raise UserError(f"top_k is {self.top_k}; it must be 0 (all tokens) or more")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p is {self.top_p}; it must be above 0 and at most 1 (all tokens)")
        if "" in self.stop_strings:
            raise UserError("stop_strings holds an empty string, which every text holds; leave it out")

    def stopped(self, text: str) -> bool:
        """Whether a response of this text has come upon a stop string."""
        return any(string in text for string in self.stop_strings)

    def size(self, tokens: Sequence[int], tokenizer: Tokenizer) -> int:
        """How many of these tokens a completion has: up to the first end among them, else all."""
        for n, token in enumerate(tokens, 1):
            if token == tokenizer.eos_id or token in self.stop:
                return n
            if self.stop_strings and self.stopped(tokenizer.decode(tokens[:n])):
                return n
        return len(tokens)


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

    def rest(self) -> None:
        """Give back the memory that only drawing needs. The next thing to come is a `sync`."""
        ...

    def close(self) -> None:
        """Stop whatever runs beside this process. Nothing can be drawn any more."""
        ...


class Wrapper:
    """What a sampler in front of another one leaves to it."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def sync(self, version: int) -> dict[str, float]:
        """See `Sampler.sync`."""
        return self.sampler.sync(version)

    def rest(self) -> None:
        """See `Sampler.rest`."""
        self.sampler.rest()

    def close(self) -> None:
        """See `Sampler.close`."""
        self.sampler.close()
