"""Uniform tokens, which is what a policy that knows nothing writes: the floor.

    pi(a | s) = 1 / V

Source: the random policy of every reinforcement-learning benchmark. Differences: none. The model is not asked at all,
its tokenizer says what there is to choose from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from reasonenv.core import Completion, IntArray, Verdict
from reasonenv.learn.baseline import Baseline
from reasonenv.sampling.sampler import Sampler, Sampling
from reasonenv.seeding import uniforms
from reasonenv.settings import record
from reasonenv.tokenizer import Tokenizer


@record
class RandomConfig:
    """One sample is the answer, so there is nothing to choose."""

    samples_per_problem: ClassVar[int] = 1


class RandomTokens(Baseline):
    """Writes uniform tokens, the floor of every table; learns nothing."""

    Config = RandomConfig

    @staticmethod
    def choose(verdicts: Sequence[Verdict]) -> int:
        return 0

    def sampler(self, sampler: Sampler) -> Sampler:
        return UniformSampler(self.policy.tokenizer)


class UniformSampler:
    """Every token with the same chance, whatever the temperature, as a `Sampler`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer, self.version = tokenizer, 0

    def sync(self, version: int) -> dict[str, float]:
        """There are no weights to take over."""
        self.version = version
        return {}

    def rest(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing runs beside this process."""

    def generate(
        self,
        prompts: Sequence[IntArray],
        seeds: Sequence[Sequence[int]],
        sampling: Sampling,
        progress: Callable[[int], None] = lambda finished: None,
    ) -> list[list[Completion]]:
        """See `Sampler.generate`."""
        progress(sum(map(len, seeds)))
        return [[self._completion(seed, sampling) for seed in row] for row in seeds]

    def _completion(self, seed: int, sampling: Sampling) -> Completion:
        size, eos = self.tokenizer.vocab_size, self.tokenizer.eos_id
        tokens = (uniforms(seed, sampling.max_tokens) * size).astype(np.int64)
        ends = np.flatnonzero(tokens == eos)
        tokens = tokens[: ends[0] + 1] if len(ends) else tokens
        logprobs = np.full(len(tokens), -math.log(size), dtype=np.float32)
        versions = np.full(len(tokens), self.version)
        return Completion(tokens, logprobs, "eos" if len(ends) else "length", versions, seed)
