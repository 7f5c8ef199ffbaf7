"""The value of every state of a response, from the hidden states of a trunk."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reasonenv.core import Batch
from reasonenv.policy.hf_policy import Policy
from reasonenv.policy.microbatch import microbatches
from reasonenv.policy.states import States


class Critic:
    """V = w h in float32, on the trunk of a policy or on a copy of it; w starts at 0, and so does V.

    A state is a prompt and the tokens so far. A response of T tokens passes T + 1 of them: those in which its tokens
    were chosen, and the one that it ended in, whose value a truncated episode is bootstrapped with.
    """

    def __init__(self, policy: Policy, *, separate: bool) -> None:
        self.policy = policy
        self.trunk = policy.trainable_copy() if separate else None
        # Without the usual initialisation, which would draw from the process's generator.
        self.head = nn.Linear(policy.width, 1, bias=False, device="meta").to_empty(device=policy.device)
        nn.init.zeros_(self.head.weight)

    def values(self, batch: Batch, states: States | None = None) -> tuple[Tensor, Tensor]:
        """(V before each token [B, T], 0 at padding; V at the end [B]), differentiable, of one micro-batch.

        `states` are the policy's own of this batch, if they are at hand; on a shared trunk they are not computed again.
        """
        if self.trunk is not None:
            states = self.trunk.states(batch)
        elif states is None:
            states = self.policy.states(batch)
        before, after = (self.head(h.float())[:, 0] for h in (states.before, states.after))
        return states.spread(before), after

    @torch.no_grad()
    def score(self, batch: Batch, *, tokens_per_microbatch: int) -> tuple[Tensor, Tensor]:
        """`values` of a whole batch without gradient, by micro-batches, on the CPU: ([B, T], [B])."""
        values, last = torch.zeros(batch.mask.shape), torch.zeros(len(batch.mask))
        for rows in microbatches(batch, tokens_per_microbatch, shared=self.policy.shared):
            before, after = self.values(batch.select(rows))
            values[rows, : before.shape[1]], last[rows] = before.cpu(), after.cpu()
        return values, last

    def parameters(self) -> list[nn.Parameter]:
        """What the critic has of its own: its head, and its trunk if that is separate."""
        trunk = [] if self.trunk is None else self.trunk.parameters()
        return [*self.head.parameters(), *trunk]

    def state_dict(self) -> dict[str, Tensor]:
        """All that is the critic's own, flat."""
        trunk = {} if self.trunk is None else {f"trunk.{k}": v for k, v in self.trunk.state_dict().items()}
        return {f"head.{k}": v for k, v in self.head.state_dict().items()} | trunk

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        self.head.load_state_dict({k: state[f"head.{k}"] for k in self.head.state_dict()})
        if self.trunk is not None:
            self.trunk.load_state_dict(
                {k.removeprefix("trunk."): v for k, v in state.items() if k.startswith("trunk.")}
            )
