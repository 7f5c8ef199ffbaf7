"""Log-probabilities of several tokens at each place: the likeliest, or tokens chosen before."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from reasonenv.core import TokenBatch
from reasonenv.policy.logprobs import chunk_elements
from reasonenv.policy.microbatch import by_microbatch
from reasonenv.policy.policy import Policy, ResponseStates


def likeliest(
    policy: Policy, batch: TokenBatch, *, count: int, tokens_per_microbatch: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """The sampled token of each place, then the `count` likeliest others, and their log-probs; K = 1 + count at most.

    Without gradient, by micro-batches, on the CPU.  # [B, T, K], [B, T, K]
    """
    size = min(1 + count, policy.head.tokens)

    def top(micro: TokenBatch) -> tuple[Tensor, Tensor]:
        states = policy.states(micro)
        tokens = states.targets.new_zeros(len(states.targets), size)
        logp = states.before.new_zeros(len(states.targets), size).float()
        for part, distribution in _chunks(policy, states, temperature):
            sampled = states.targets[part, None]
            others = distribution.scatter(1, sampled, -torch.inf).topk(size - 1)
            tokens[part] = torch.cat([sampled, others.indices], dim=1)
            logp[part] = torch.cat([distribution.gather(1, sampled), others.values], dim=1)
        return states.spread(tokens), states.spread(logp)

    tokens, logp = by_microbatch(top, batch, tokens_per_microbatch, shared=policy.shared)
    return tokens, logp


@torch.no_grad()
def logprobs_of(policy: Policy, states: ResponseStates, tokens: Tensor, *, temperature: float) -> Tensor:
    """Log-probs of `tokens` [B, T, K] at the places of `states`; 0 at padding.  # [B, T, K]"""
    chosen = tokens[states.row, states.step]  # [M, K]
    logp = torch.zeros(chosen.shape, device=chosen.device)
    for part, distribution in _chunks(policy, states, temperature):
        logp[part] = distribution.gather(1, chosen[part])
    return states.spread(logp)


def _chunks(policy: Policy, states: ResponseStates, temperature: float) -> Iterator[tuple[slice, Tensor]]:
    """The log-probs of all tokens [chunk, V], a few places at a time."""
    head = policy.head
    chunk = max(1, chunk_elements(policy.device) // head.weight.shape[0])
    for start in range(0, len(states.targets), chunk):
        part = slice(start, start + chunk)
        yield part, (head.logits(states.before[part]) / temperature).log_softmax(dim=-1)
