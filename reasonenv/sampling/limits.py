"""What every sampler asks of its arguments before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from reasonenv.core import IntArray
from reasonenv.errors import UserError
from reasonenv.sampling.sampler import Sampling


def check_prompts(
    prompts: Sequence[IntArray], seeds: Sequence[Sequence[int]], sampling: Sampling, context: int
) -> None:
    """Raise `UserError` where a prompt is empty or leaves no room for `max_tokens` in a context of `context` tokens."""
    assert len(prompts) == len(seeds), "one sequence of seeds for each prompt"
    for n, prompt in enumerate(prompts):
        if len(prompt) == 0:
            raise UserError(f"prompt {n} has no tokens; give at least one (a BOS or the question)")
        if len(prompt) + sampling.max_tokens > context:
            raise UserError(
                f"prompt {n} has {len(prompt)} tokens and max_tokens is {sampling.max_tokens}, together more than the "
                f"model's context of {context}; shorten the prompt or lower max_tokens"
            )
