"""What a policy says of tokens that it, or another one, has written."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from reasonenv.core import Group
from reasonenv.learn.rollout import collate
from reasonenv.policy.lm import Policy

TOKENS_PER_MICROBATCH = 8192


def token_scores(groups: Sequence[Group], policy: Policy) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies at temperature 1, a row a trajectory; log-probs are 0 but for chosen tokens.

    On the CPU.  # [B, T], [B, T]
    """
    batch = collate(groups, pad=policy.tokenizer.eos_id)
    logp, entropy = policy.score(batch, tokens_per_microbatch=TOKENS_PER_MICROBATCH)
    return logp * batch.mask, entropy
