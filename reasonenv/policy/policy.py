"""What a policy is to agents and heads: hidden states, log-probs, weights. `hf_policy` has the one for real models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from reasonenv.core import TokenBatch
from reasonenv.errors import UserError
from reasonenv.policy.goals import Goals
from reasonenv.policy.logprobs import Head, token_logprobs
from reasonenv.policy.microbatch import by_microbatch
from reasonenv.tokenizer import Tokenizer


@dataclass(frozen=True)
class ResponseStates:
    """The hidden states of a batch: one for each of its M response tokens, rows in their order, and one for each end.

    A state is a prompt and the tokens so far. A response of T tokens passes T + 1 of them: those in which its tokens
    were chosen, and the one that it ended in.
    """

    before: Tensor  # [M, H], of the state in which each token was chosen
    after: Tensor  # [B, H], of the state that each response ended in
    targets: Tensor  # [M], the tokens
    row: Tensor  # [M], their rows in the batch
    step: Tensor  # [M], their steps in the response
    shape: tuple[int, int]  # B, T

    def spread(self, numbers: Tensor) -> Tensor:
        """What belongs to each token [M, ...] at its place, 0 at padding.  # [B, T, ...]"""
        blank = torch.zeros((*self.shape, *numbers.shape[1:]), dtype=numbers.dtype, device=numbers.device)
        return blank.index_put((self.row, self.step), numbers)

    def after_each(self) -> Tensor:
        """Of the state that each token led to: that of the next token, or the end of the response.  # [M, H]"""
        tokens = len(self.row)
        following = torch.arange(1, tokens + 1, device=self.row.device)
        last = self.row != self.row.roll(-1)
        last[-1] = True
        following[last] = tokens + self.row[last]
        return torch.cat([self.before, self.after]).index_select(0, following)


class Policy(Protocol):
    """A distribution over the next token that is the softmax of the logits of a `head` on hidden `states`.

    A subclass says what these two are, and what weights there are; the rest follows.
    """

    name: str
    tokenizer: Tokenizer
    context: int  # tokens that it can read, the response included
    shared: bool = True  # whether rows with one prompt share its computation
    goals: Goals | None = None  # of a return-conditioned policy

    @property
    def head(self) -> Head:
        """From hidden states [H] to logits [V]."""

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.head.weight.dtype

    def states(self, batch: TokenBatch) -> ResponseStates:
        """The hidden states that heads read, differentiable. Give it one micro-batch."""

    def logprobs(
        self, batch: TokenBatch, *, temperature: float = 1.0, states: ResponseStates | None = None
    ) -> tuple[Tensor, Tensor]:
        """(logp [B, T], entropy [B, T]) of the response tokens at `temperature`, float32, 0 at padding.

        Both are differentiable. Give it one micro-batch, and its `states` if they are at hand.
        """
        states = states or self.states(batch)
        logp, entropy = token_logprobs(states.before, self.head, states.targets, temperature=temperature)
        return states.spread(logp), states.spread(entropy)

    def score(
        self, batch: TokenBatch, *, tokens_per_microbatch: int, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """`logprobs` of a whole batch without gradient, by micro-batches: (logp [B, T], entropy [B, T]) on the CPU."""

        def logprobs(micro: TokenBatch) -> tuple[Tensor, Tensor]:
            return self.logprobs(micro, temperature=temperature)

        logp, entropy = by_microbatch(logprobs, batch, tokens_per_microbatch, shared=self.shared)
        return logp, entropy

    def parameters(self) -> list[nn.Parameter]:
        """What training may change; a tied parameter comes once."""

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Those of `parameters` on which `states` depend."""
        return self.parameters()

    def state_dict(self) -> dict[str, Tensor]:
        """Every weight once, sharing memory."""

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copies `state` into the weights. Raises `UserError` if it is of another model."""
        weights = self.state_dict()
        if not same_shapes(weights, state):
            raise UserError(f"these weights are not of policy {self.name!r}: names or shapes differ; load their policy")
        for name, tensor in weights.items():
            tensor.copy_(state[name])

    def save(self, folder: Path | str, goals: Goals | None = None) -> None:
        """Writes weights and tokenizer as `load_policy` reads them. Raises `UserError` if there is no such form."""
        raise UserError(f"policy {self.name!r} has no form in which it could be saved")

    def clone(self) -> Self:
        """A frozen copy, for a reference policy."""

    def trainable_copy(self) -> Self:
        """A copy of which training may change what it may change here; what it may not is shared."""


def same_shapes(state: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two state dicts have the same names, and tensors of the same shape under each."""
    return state.keys() == other.keys() and all(tensor.shape == other[name].shape for name, tensor in state.items())


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with `prefix` before their names."""
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it: the inverse of `prefixed`."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
