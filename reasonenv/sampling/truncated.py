"""Top-k and nucleus sampling over any other sampler, for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from reasonenv.core import Completion, IntArray
from reasonenv.sampling.sampler import Sampler, Sampling, Wrapper

KEYS = ("top_k", "top_p", "min_p")  # ways to cut a distribution
TRAINING = (
    "training draws from the whole distribution, because what is cut away has no ratio of trainer to sampler; "
    "use temperature alone, and --top-k or --top-p of reasonenv eval"
)


class Truncated(Wrapper):
    """`sampler`, of which every draw is from the `top_k` likeliest tokens and the nucleus of mass `top_p` alone.

    Its log-probs are those of what is left, renormalised. See `Sampling` for the numbers and their limits. Training
    refuses it.
    """

    def __init__(self, sampler: Sampler, *, top_k: int = 0, top_p: float = 1.0) -> None:
        super().__init__(sampler)
        self.top_k, self.top_p = top_k, top_p
        Sampling(1, top_k=top_k, top_p=top_p)  # refuses bad numbers now

    def generate(
        self,
        prompts: Sequence[IntArray],
        seeds: Sequence[Sequence[int]],
        sampling: Sampling,
        progress: Callable[[int], None] = lambda finished: None,
    ) -> list[list[Completion]]:
        """See `Sampler.generate`."""
        cut = replace(sampling, top_k=self.top_k, top_p=self.top_p)
        return self.sampler.generate(prompts, seeds, cut, progress)
