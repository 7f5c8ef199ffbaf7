"""A process small enough to know all of it, and a policy that is a table over it.

The mean of an agent's stochastic update is then a finite sum over all groups of responses, and the gradient of any
objective is exact, so the two can be compared to the last digit: see `expected_update`.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, product

import numpy as np
import torch
from torch import Tensor, nn

from reasonenv.core import Group, Problem, Reason, Role, TokenBatch, Trajectory, Verdict
from reasonenv.errors import check_range
from reasonenv.learn.agent import Agent
from reasonenv.policy.logprobs import Head
from reasonenv.policy.policy import Policy, ResponseStates
from reasonenv.seeding import generator
from reasonenv.testing.gradients import gradients, scored
from reasonenv.tokenizer import Ids, Tokenizer

Response = tuple[int, ...]


@dataclass(frozen=True)
class TinyMDP:
    """One problem, `actions` symbols, at most `horizon` tokens, and a reward for the complete response.

    With `stops`, symbol 0 is EOS; without, every response has `horizon` tokens. A response of reward 1 is correct.
    """

    actions: int  # V, 2 to 16
    horizon: int  # T, 1 to 6
    reward: Callable[[Response], float]
    stops: bool = False

    def __post_init__(self) -> None:
        check_range("actions", self.actions, 2, 16)
        check_range("horizon", self.horizon, 1, 6)

    @cached_property
    def responses(self) -> list[Response]:
        """Every complete response."""
        return list(self._grow(()))

    def _grow(self, prefix: Response) -> Iterator[Response]:
        if len(prefix) == self.horizon or (self.stops and prefix[-1:] == (0,)):
            yield prefix
        else:
            for action in range(self.actions):
                yield from self._grow((*prefix, action))

    @cached_property
    def rewards(self) -> Tensor:
        """The reward of every response.  # [R]"""
        return torch.tensor([self.reward(r) for r in self.responses], dtype=torch.float64)

    @cached_property
    def states(self) -> dict[Response, int]:
        """Every unfinished response, numbered as in the policy's table."""
        states: dict[Response, int] = {}
        for length in range(self.horizon):
            for prefix in product(range(self.actions), repeat=length):
                states[prefix] = len(states)
        return states

    def value(self, policy: TabularPolicy) -> Tensor:
        """E[R], exact and differentiable; with rewards 0 and 1 the probability of success."""
        return policy.log_likelihood().exp() @ self.rewards

    def group(self, policy: TabularPolicy, chosen: Sequence[int]) -> Group:
        """The responses of these numbers as one group, as a sampler of `policy` would have returned it."""
        problem = Problem("tiny", "?", "!")
        return scored(policy, [Group(problem, tuple(self._trajectory(problem, self.responses[i]) for i in chosen))])[0]

    def sample(self, policy: TabularPolicy, samples: int, *seed: int | str) -> Group:
        """A group of `samples` responses drawn from `policy`."""
        chances = policy.log_likelihood().detach().exp().numpy()
        return self.group(policy, generator(*seed).choice(len(chances), samples, p=chances / chances.sum()).tolist())

    def _trajectory(self, problem: Problem, response: Response) -> Trajectory:
        length, reward = len(response), self.reward(response)
        ended = self.stops and response[-1] == 0
        return Trajectory(
            problem=problem,
            prompt=np.zeros(1, dtype=np.int64),
            tokens=np.array(response),
            roles=np.full(length, Role.POLICY, dtype=np.int8),
            logprobs=np.zeros(length, dtype=np.float32),
            versions=np.zeros(length, dtype=np.int64),
            rewards=np.array([0.0] * (length - 1) + [reward], dtype=np.float32),
            ends=np.array([length - 1]),
            terminated=ended,
            truncated=not ended,
            verdict=Verdict(Reason.of(reward == 1), None, "!"),
        )


class _Symbols(Tokenizer):
    """The symbols of a `TinyMDP`; there is no text behind them."""

    def __init__(self, size: int) -> None:
        self.eos_id, self.vocab_size, self.has_chat_template = 0, size, False
        self.ends = (self.eos_id,)

    def decode(self, ids: Ids) -> str:
        return " ".join(map(str, np.asarray(ids).tolist()))


class TabularPolicy(Policy):
    """A softmax over the actions for each state of a `TinyMDP`: the table `theta` [states, V] is all there is."""

    def __init__(self, mdp: TinyMDP, *, seed: int = 0) -> None:
        self.mdp = mdp
        self.tokenizer = _Symbols(mdp.actions)
        self.name, self.context = "tabular", 1 + mdp.horizon
        logits = generator("tabular policy", seed).normal(size=(len(mdp.states), mdp.actions))
        self.theta = nn.Parameter(torch.from_numpy(logits).float())  # [states, V]

    @property
    def device(self) -> torch.device:
        return self.theta.device

    @property
    def dtype(self) -> torch.dtype:
        return self.theta.dtype

    def log_likelihood(self) -> Tensor:
        """log pi of every complete response, differentiable, in float64.  # [R]"""
        table = self.theta.double().log_softmax(dim=-1)
        sums = []
        for response in self.mdp.responses:
            logp = [table[self.mdp.states[response[:t]], action] for t, action in enumerate(response)]
            sums.append(sum(logp, table.new_zeros(())))
        return torch.stack(sums)

    @property
    def head(self) -> Head:
        """The table: a state picks its row. After a complete response nothing is chosen."""
        rows = torch.cat([self.theta, self.theta.new_zeros(len(self.mdp.responses), self.mdp.actions)])
        return Head(rows.T)  # [V, H]

    @property
    def width(self) -> int:
        return len(self.mdp.states) + len(self.mdp.responses)

    def states(self, batch: TokenBatch) -> ResponseStates:
        """Each state as a unit vector, unfinished responses first, then the complete ones: a critic is a table too."""
        left = batch.tokens.shape[1] - batch.width  # P
        before, after, targets, steps = [], [], list[int](), list[int]()
        for tokens, length in zip(batch.tokens[:, left:].tolist(), batch.length.tolist(), strict=True):
            response = tuple(tokens[:length])
            before += [self.mdp.states[response[:t]] for t in range(length)]
            after.append(len(self.mdp.states) + self.mdp.responses.index(response))
            targets += response
            steps += range(length)
        units = torch.eye(self.width)
        return ResponseStates(
            before=units[before],
            after=units[after],
            targets=torch.tensor(targets),
            row=torch.repeat_interleave(batch.length),
            step=torch.tensor(steps),
            shape=(len(after), batch.width),
        )

    def parameters(self) -> list[nn.Parameter]:
        return [self.theta]

    def state_dict(self) -> dict[str, Tensor]:
        return {"theta": self.theta.detach()}

    def clone(self) -> TabularPolicy:
        twin = copy.copy(self)
        twin.theta = nn.Parameter(self.theta.detach().clone(), requires_grad=False)
        return twin

    def trainable_copy(self) -> TabularPolicy:
        return self.clone()  # its states are the table's rows: there is nothing in them to train


def expected_update(agent: Agent, mdp: TinyMDP) -> Tensor:
    """The mean of the direction in which `agent` climbs, over all groups of its G samples, as a table [states, V].

    Exact but for rounding: groups are summed as multisets, each with the chance that its responses are drawn in some
    order. `agent` holds a `TabularPolicy` of `mdp` and takes one optimiser step.
    """
    policy = agent.policy
    assert isinstance(policy, TabularPolicy), "only a table can be enumerated"
    chances = policy.log_likelihood().detach().exp().tolist()
    size = agent.config.samples_per_problem
    total = torch.zeros_like(policy.theta, dtype=torch.float64)
    for chosen in combinations_with_replacement(range(len(chances)), size):
        orders = math.factorial(size) // math.prod(map(math.factorial, Counter(chosen).values()))
        chance = orders * math.prod(chances[i] for i in chosen)
        for gradient in gradients(agent, [mdp.group(policy, chosen)]):
            total -= chance * gradient[: total.numel()].double().view_as(total)  # what follows is a critic's
    return total
