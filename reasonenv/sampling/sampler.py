"""The contract of every sampler: ids and seeds in, ids and log-probabilities out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from reasonenv.core import Completion, IntArray
from reasonenv.errors import UserError
from reasonenv.sampling.session import Drawn, HistorySession, Job, Part, Row, Session
from reasonenv.tokenizer import Tokenizer

__all__ = ["Drawn", "Job", "Sampler", "Sampling", "check_prompts"]

MAX_GAP = 0.2  # mean |log-prob of sampler - of trainer| in nats; far above bfloat16 noise, so something is broken
KEYS = ("top_k", "top_p", "min_p")  # by which other programs cut a distribution
TRAINING = (
    "training draws from the whole distribution, because what is cut away has no ratio of trainer to sampler; "
    "use temperature alone, and --top-k or --top-p of reasonenv eval"
)


@dataclass(frozen=True)
class Sampling:
    """How to draw. Log-probabilities are always those of the distribution really sampled.

    Training rollouts are of a pure temperature: what `top_k` or `top_p` cut away has probability 0 for the sampler and
    not for the trainer. So they are for evaluation.
    """

    max_tokens: int
    temperature: float = 1.0  # 0 is greedy; its log-probs are those of the model at temperature 1
    stop: tuple[int, ...] = ()  # tokens after which a completion may end; a sampler may write on
    stop_strings: tuple[str, ...] = ()  # a completion ends with the token by which its text holds one of them
    top_k: int = 0  # only so many of the likeliest tokens, and equals of the last; 0 for all
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
            if token in tokenizer.ends or token in self.stop:
                return n
            if self.stop_strings and self.stopped(tokenizer.decode(tokens[:n])):
                return n
        return len(tokens)


class Sampler(ABC):
    """Draws responses of a policy. Its arguments are ids and numbers, so it survives a process boundary.

    A backend is made from the policy alone, and also from an `address=` if it is `served`.
    """

    served: ClassVar[bool] = False  # whether it can be in another process, at an address
    # The level, and why, where a second run has less in common with the first than its device allows;
    # see `experiment.manifest.reproducibility`.
    reproducibility: ClassVar[tuple[str, str] | None] = None
    version: int = 0  # of the weights that it draws from
    tokens_read: int = 0  # prompts and what was appended, as often as the model has read them
    tokens_drawn: int = 0  # those that were dropped too

    @classmethod
    def check_installed(cls) -> None:
        """Raises `UserError` if something that the backend needs on this machine is missing."""
        return

    @abstractmethod
    def draw(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Iterator[Drawn]:
        """The completions of all jobs, as they are finished.

        A sample is a function of (weights, prompt, seed, sampling) alone. Raises `UserError` as `check_prompts` does.
        """

    def open(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Session:
        """A session of these jobs, in which others may write too. By default `draw` reads each row anew for each part.

        `sampling.max_tokens` is the most that the policy may choose in a row.
        """
        return RereadingSession(self, prompts, jobs, sampling)

    def generate(
        self,
        prompts: Sequence[IntArray],
        seeds: Sequence[Sequence[int]],
        sampling: Sampling,
        progress: Callable[[int], None] = lambda finished: None,
    ) -> list[list[Completion]]:
        """One completion for each seed of each prompt: N prompts, G seeds each, `[N][G]` completions in that order.

        `progress` is called with the number of rows that have just finished.
        """
        assert len(prompts) == len(seeds), "one sequence of seeds for each prompt"
        jobs = [(n, seed) for n, row in enumerate(seeds) for seed in row]
        completions: dict[int, Completion] = {}
        if jobs:
            for job, completion in self.draw(prompts, jobs, sampling):
                completions[job] = completion
                progress(1)
        rows: list[list[Completion]] = [[] for _ in prompts]
        for job, (n, _) in enumerate(jobs):
            rows[n].append(completions[job])
        return rows

    def completion(self, tokens: ArrayLike, logprobs: ArrayLike, *, ends: Collection[int], seed: int) -> Completion:
        """What was drawn from one seed with the weights as they are; `ends` are those of the tokenizer."""
        ids: IntArray = np.array(tokens, dtype=np.int64)
        stop: Literal["eos", "length"] = "eos" if int(ids[-1]) in ends else "length"
        versions: IntArray = np.full(len(ids), self.version)
        return Completion(ids, np.array(logprobs, dtype=np.float32), stop, versions, seed)

    def sync(self, version: int) -> dict[str, float]:
        """Takes over the policy's weights as they are now, under this version number. Returns figures for the log."""
        self.version = version
        return {}

    def release(self) -> None:
        """Gives back the memory that only drawing needs. The next thing to come is a `sync`."""
        return

    def close(self) -> None:
        """Stops whatever runs beside this process. Nothing can be drawn any more."""
        return


class RereadingSession(HistorySession):
    """A session of any `sampler`, with nothing but its `draw`: round by round, all rows that are to go on at once."""

    def __init__(
        self,
        sampler: Sampler,
        prompts: Sequence[IntArray],
        jobs: Sequence[Job],
        sampling: Sampling,
        context: int | None = None,
    ) -> None:
        super().__init__(prompts, jobs, max_tokens=sampling.max_tokens, stop=sampling.stop, context=context)
        self.sampler, self.sampling = sampler, sampling
        self.round: Iterator[Part] = iter(())

    def draw(self) -> list[Part]:
        part = next(self.round, None)
        if part is None and self.ready:
            rows, self.ready = self.ready, []
            self.round = self._next_round(rows)
            part = next(self.round, None)
        return [] if part is None else [part]

    def close(self) -> None:
        self.round = iter(())  # whatever `draw` had begun ends with its iterator

    def _next_round(self, rows: Sequence[int]) -> Iterator[Part]:
        """One more part of each row. Those that can are drawn up to one limit, and cut."""
        states = [self.rows[row] for row in rows]
        limit = max(state.limit for state in states)
        context = self.context or max(len(state.history) + state.limit for state in states)
        calls: dict[int, list[int]] = {}  # by limit
        for row, state in zip(rows, states, strict=True):
            fits = len(state.history) + limit <= context
            calls.setdefault(limit if fits else state.limit, []).append(row)
        for limit, together in calls.items():
            drawn = self.continued([self.rows[row] for row in together], replace(self.sampling, max_tokens=limit))
            for place, completion in drawn:
                yield self.pause(together[place], completion)

    def continued(self, rows: Sequence[Row], sampling: Sampling) -> Iterator[Drawn]:
        """The completion behind the history of each row. Equal histories are one prompt, read once."""
        numbers: dict[tuple[int, ...], int] = {}
        jobs = [(numbers.setdefault(tuple(row.history), len(numbers)), row.part_seed) for row in rows]
        prompts = [np.array(history, dtype=np.int64) for history in numbers]
        self.sampler.tokens_read += sum(map(len, prompts))
        for place, completion in self.sampler.draw(prompts, jobs, sampling):
            self.sampler.tokens_drawn += len(completion.tokens)
            yield place, completion


def check_prompts(prompts: Sequence[IntArray], sampling: Sampling, context: int) -> None:
    """Raises `UserError` where a prompt is empty or leaves too little of `context` tokens for `max_tokens`."""
    for n, prompt in enumerate(prompts):
        if len(prompt) == 0:
            raise UserError(f"prompt {n} has no tokens; give at least one (a BOS or the question)")
        if len(prompt) + sampling.max_tokens > context:
            raise UserError(
                f"prompt {n} has {len(prompt)} tokens and max_tokens is {sampling.max_tokens}, together more than the "
                f"model's context of {context}; shorten the prompt or lower max_tokens"
            )
