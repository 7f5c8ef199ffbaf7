"""What a policy says of tokens that it, or another one, has written."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from reasonenv.core import Group
from reasonenv.policy.hf_policy import Policy
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.rollout.groups import collate


def token_scores(
    groups: Sequence[Group], policy: Policy, *, tokens_per_microbatch: int = TOKENS_PER_MICROBATCH
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies at temperature 1, a row a trajectory; log-probs are 0 but for chosen tokens.

    On the CPU.  # [B, T], [B, T]
    """
    batch = collate(groups, pad=policy.tokenizer.eos_id)
    logp, entropy = policy.score(batch, tokens_per_microbatch=tokens_per_microbatch)
    return logp * batch.mask, entropy
