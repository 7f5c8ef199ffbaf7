"""Forcing a goal before every step that a conditioned policy writes, over any other sampler.

    prompt [GOOD] step 1 \\n [GOOD] step 2 \\n ... [GOOD] last step EOS

Goals are input. They are in no completion, in no log-prob and in no budget, so environments and verifiers never meet
them; but every log-prob is that of a token given all that stands before it, goals included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from reasonenv.core import Completion, IntArray
from reasonenv.errors import UserError
from reasonenv.policy.goals import Goals
from reasonenv.policy.policy import Policy
from reasonenv.sampling.sampler import Sampler, Sampling, Wrapper, check_prompts
from reasonenv.seeding import derive_seed


@dataclass
class _Row:
    """One response under way: what the model has read, goals included, and what the policy has written."""

    read: list[int]
    seed: int
    parts: list[Completion] = field(default_factory=list)

    @property
    def written(self) -> int:
        return sum(len(part.tokens) for part in self.parts)

    def step_seed(self) -> int:
        """The seed of its next step."""
        return derive_seed(self.seed, "step", len(self.parts))


def conditioned_sampler(sampler: Sampler, policy: Policy, goals: Goals | None) -> Sampler:
    """`sampler`, a sampler of `policy`, conditioned on `goals`; without goals `sampler` itself."""
    return sampler if goals is None else GoalSampler(sampler, policy, goals)


class GoalSampler(Wrapper):
    """`sampler`, a sampler of `policy`, with `goals.goal` before every step.

    A step at a time: the sampler writes up to the end of a step and reads on behind the next goal. Near the end of the
    context, where a goal would take the place of what the budget allows, no more goals are set.
    """

    def __init__(self, sampler: Sampler, policy: Policy, goals: Goals) -> None:
        super().__init__(sampler)
        self.policy, self.goal = policy, policy.tokenizer.encode(goals.goal)

    def generate(
        self,
        prompts: Sequence[IntArray],
        seeds: Sequence[Sequence[int]],
        sampling: Sampling,
        progress: Callable[[int], None] = lambda finished: None,
    ) -> list[list[Completion]]:
        """See `Sampler.generate`."""
        if sampling.stop_strings:
            raise UserError("a policy that is asked for goals knows no stop strings; leave stop_strings out")
        check_prompts(prompts, sampling, self.policy.context)
        stepwise = replace(sampling, stop=tuple(np.flatnonzero(self.policy.tokenizer.ends_step).tolist()))
        rows = []
        for prompt, row_seeds in zip(prompts, seeds, strict=True):
            rows.append([_Row(prompt.tolist(), seed) for seed in row_seeds])
        active = list(chain.from_iterable(rows))
        while active:
            for row in active:
                if len(row.read) + len(self.goal) + sampling.max_tokens - row.written <= self.policy.context:
                    row.read += self.goal
            self._write(active, stepwise)
            left = [r for r in active if r.parts[-1].stop != "eos" and r.written < sampling.max_tokens]
            progress(len(active) - len(left))
            active = left
        return [list(map(_whole, group)) for group in rows]

    def _write(self, rows: Sequence[_Row], stepwise: Sampling) -> None:
        """One more step of every row. Those that have read the same are drawn as samples of one prompt."""
        room = stepwise.max_tokens - min(row.written for row in rows)
        calls: dict[int, dict[tuple[int, ...], list[_Row]]] = {}  # tokens to draw -> what was read -> rows
        for row in rows:
            alone = len(row.read) + room > self.policy.context  # the context holds its own budget and no more
            limit = stepwise.max_tokens - row.written if alone else room
            calls.setdefault(limit, {}).setdefault(tuple(row.read), []).append(row)
        for limit, same in calls.items():
            prompts = [np.array(ids, dtype=np.int64) for ids in same]
            seeds = []
            for group in same.values():
                seeds.append([row.step_seed() for row in group])
            drawn = self.sampler.generate(prompts, seeds, replace(stepwise, max_tokens=limit))
            for group, parts in zip(same.values(), drawn, strict=True):
                for row, part in zip(group, parts, strict=True):
                    part = self._step(part, stepwise.max_tokens - row.written)
                    row.parts.append(part)
                    row.read += part.tokens.tolist()

    def _step(self, part: Completion, room: int) -> Completion:
        """What of `part` is one step and fits into `room` tokens: a sampler may write on behind a stop token."""
        ends = np.flatnonzero(self.policy.tokenizer.ends_step[part.tokens])
        size = min(room, int(ends[0]) + 1 if len(ends) else room)
        if len(part.tokens) <= size:
            return part
        tokens, logprobs, versions = part.tokens[:size], part.logprobs[:size], part.versions[:size]
        return replace(part, tokens=tokens, logprobs=logprobs, versions=versions, stop="length")


def _whole(row: _Row) -> Completion:
    """The parts of a row as one response."""
    return Completion(
        tokens=np.concatenate([part.tokens for part in row.parts]),
        logprobs=np.concatenate([part.logprobs for part in row.parts]),
        stop="eos" if row.parts[-1].stop == "eos" else "length",
        versions=np.concatenate([part.versions for part in row.parts]),
        seed=row.seed,
    )
