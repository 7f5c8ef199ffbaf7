"""Uniform tokens, which is what a policy that knows nothing writes: the floor.

    pi(a | s) = 1 / V

Source: the random policy of every reinforcement-learning benchmark. Differences: none. The model is not asked at all,
its tokenizer says what there is to choose from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from reasonenv.core import IntArray, Verdict
from reasonenv.learn.baseline import Baseline
from reasonenv.sampling.sampler import Drawn, Job, Sampler, Sampling
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


class UniformSampler(Sampler):
    """Every token with the same chance, whatever the temperature."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def draw(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Iterator[Drawn]:
        choices, ends = np.flatnonzero(self.tokenizer.is_token), self.tokenizer.ends
        size = len(choices)
        for job, (_, seed) in enumerate(jobs):
            tokens = choices[(uniforms(seed, sampling.max_tokens) * size).astype(np.int64)]
            last = np.flatnonzero(self.tokenizer.is_end[tokens])
            if len(last):
                tokens = tokens[: last[0] + 1]
            yield job, self.completion(tokens, np.full(len(tokens), -math.log(size)), ends=ends, seed=seed)
