"""Forcing a goal before every step that a conditioned policy writes, over any other sampler.

    prompt [GOOD] step 1 \\n [GOOD] step 2 \\n ... [GOOD] last step EOS

Goals are input. They are in no completion, in no log-prob and in no budget, so environments and verifiers never meet
them; but every log-prob is that of a token given all that stands before it, goals included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from reasonenv.core import Completion, IntArray
from reasonenv.errors import UserError
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


class GoalSampler(Wrapper):
    """`sampler` over a policy that is conditioned on `policy.goals`; without goals it is `sampler` itself.

    A step at a time: the sampler writes up to the end of a step and reads on behind the next goal. Near the end of the
    context, where a goal would take the place of what the budget allows, no more goals are set.
    """

    def __init__(self, sampler: Sampler, policy: Policy) -> None:
        super().__init__(sampler)
        self.policy = policy

    def generate(
        self,
        prompts: Sequence[IntArray],
        seeds: Sequence[Sequence[int]],
        sampling: Sampling,
        progress: Callable[[int], None] = lambda finished: None,
    ) -> list[list[Completion]]:
        """See `Sampler.generate`."""
        goals, tokenizer = self.policy.goals, self.policy.tokenizer
        if goals is None:
            return self.sampler.generate(prompts, seeds, sampling, progress)
        if sampling.stop_strings:
            raise UserError("a policy that is asked for goals knows no stop strings; leave stop_strings out")
        check_prompts(prompts, sampling, self.policy.context)
        goal = tokenizer.encode(goals.asked)
        stepwise = replace(sampling, stop=tuple(np.flatnonzero(tokenizer.ends_step).tolist()))
        rows = [[_Row(prompt.tolist(), seed) for seed in own] for prompt, own in zip(prompts, seeds, strict=True)]
        active = [row for own in rows for row in own]
        while active:
            for row in active:
                if len(row.read) + len(goal) + sampling.max_tokens - row.written <= self.policy.context:
                    row.read += goal
            self._write(active, stepwise)
            left = [r for r in active if r.parts[-1].stop != "eos" and r.written < sampling.max_tokens]
            progress(len(active) - len(left))
            active = left
        return [[_whole(row) for row in own] for own in rows]

    def _write(self, rows: Sequence[_Row], stepwise: Sampling) -> None:
        """One more step of every row. Those that have read the same are asked as samples of one prompt."""
        room = stepwise.max_tokens - min(row.written for row in rows)
        calls: dict[int, dict[tuple[int, ...], list[_Row]]] = {}  # tokens to ask for -> what was read -> rows
        for row in rows:
            alone = len(row.read) + room > self.policy.context  # the context holds its own budget and no more
            limit = stepwise.max_tokens - row.written if alone else room
            calls.setdefault(limit, {}).setdefault(tuple(row.read), []).append(row)
        for limit, same in calls.items():
            prompts = [np.array(ids, dtype=np.int64) for ids in same]
            seeds = [[derive_seed(row.seed, "step", len(row.parts)) for row in asked] for asked in same.values()]
            found = self.sampler.generate(prompts, seeds, replace(stepwise, max_tokens=limit))
            for asked, parts in zip(same.values(), found, strict=True):
                for row, part in zip(asked, parts, strict=True):
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
