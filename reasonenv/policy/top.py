"""Log-probabilities of several tokens at each place of a response, without the logits of a whole batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from reasonenv.core import Batch
from reasonenv.policy.hf_policy import Policy
from reasonenv.policy.logprobs import chunk_elements, head_logits
from reasonenv.policy.microbatch import microbatches
from reasonenv.policy.states import States


@torch.no_grad()
def likeliest(
    policy: Policy, batch: Batch, *, count: int, tokens_per_microbatch: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """The sampled token of each place, then the `count` likeliest others, and their log-probs; K = 1 + count at most.

    By micro-batches, on the CPU.  # [B, T, K], [B, T, K]
    """
    size = 1 + min(count, policy.head.weight.shape[0] - 1)
    tokens = torch.zeros((*batch.mask.shape, size), dtype=torch.int64)
    logp = torch.zeros((*batch.mask.shape, size))
    for rows in microbatches(batch, tokens_per_microbatch, shared=policy.shared):
        at = policy.states(batch.select(rows))
        chosen, scores = at.targets.new_zeros(len(at.targets), size), at.before.new_zeros(len(at.targets), size).float()
        for part, every in _chunks(policy, at, temperature):
            sampled = at.targets[part, None]
            own = every.gather(1, sampled)
            others = every.scatter(1, sampled, -torch.inf).topk(size - 1)
            chosen[part] = torch.cat([sampled, others.indices], dim=1)
            scores[part] = torch.cat([own, others.values], dim=1)
        width = at.shape[1]
        tokens[rows, :width], logp[rows, :width] = at.spread(chosen).cpu(), at.spread(scores).cpu()
    return tokens, logp


@torch.no_grad()
def logprobs_of(policy: Policy, states: States, tokens: Tensor, *, temperature: float) -> Tensor:
    """Log-probs of `tokens` [B, T, K] at the places of `states`; 0 at padding.  # [B, T, K]"""
    wanted = tokens[states.row, states.step]  # [M, K]
    found = torch.zeros(wanted.shape, device=wanted.device)
    for part, every in _chunks(policy, states, temperature):
        found[part] = every.gather(1, wanted[part])
    return states.spread(found)


def _chunks(policy: Policy, states: States, temperature: float) -> Iterator[tuple[slice, Tensor]]:
    """The log-probs of all tokens [chunk, V], a few places at a time."""
    head = policy.head
    chunk = max(1, chunk_elements(policy.device) // head.weight.shape[0])
    for start in range(0, len(states.targets), chunk):
        part = slice(start, start + chunk)
        yield part, (head_logits(states.before[part], head.weight, head.bias) / temperature).log_softmax(dim=-1)
