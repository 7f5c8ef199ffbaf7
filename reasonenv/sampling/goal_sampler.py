"""Forcing a goal before every step that a conditioned policy writes, over any other sampler.

    prompt [GOOD] step 1 \\n [GOOD] step 2 \\n ... [GOOD] last step EOS

Goals are input. They are in no completion, in no log-prob and in no budget, so environments and verifiers never meet
them; but every log-prob is that of a token given all that stands before it, goals included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from reasonenv.core import Completion, IntArray
from reasonenv.errors import UserError
from reasonenv.policy.goals import Goals
from reasonenv.policy.policy import Policy
from reasonenv.sampling.sampler import Drawn, Job, Sampler, Sampling, check_prompts, continuations
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


class GoalSampler(Sampler):
    """`sampler`, a sampler of `policy`, with `goals.goal` before every step.

    A step at a time: the sampler writes up to the end of a step and reads on behind the next goal. Near the end of the
    context, where a goal would take the place of what the budget allows, no more goals are set.
    """

    def __init__(self, sampler: Sampler, policy: Policy, goals: Goals) -> None:
        self.sampler, self.policy, self.goal = sampler, policy, policy.tokenizer.encode(goals.goal)

    def sync(self, version: int) -> dict[str, float]:
        return self.sampler.sync(version)

    def release(self) -> None:
        self.sampler.release()

    def close(self) -> None:
        self.sampler.close()

    def draw(self, prompts: Sequence[IntArray], jobs: Sequence[Job], sampling: Sampling) -> Iterator[Drawn]:
        if sampling.stop_strings:
            raise UserError("a policy that is asked for goals knows no stop strings; leave stop_strings out")
        check_prompts(prompts, sampling, self.policy.context)
        stepwise = replace(sampling, stop=tuple(np.flatnonzero(self.policy.tokenizer.ends_step).tolist()))
        active = {job: _Row(prompts[n].tolist(), seed) for job, (n, seed) in enumerate(jobs)}
        while active:
            for row in active.values():
                if len(row.read) + len(self.goal) + sampling.max_tokens - row.written <= self.policy.context:
                    row.read += self.goal
            self._write(list(active.values()), stepwise)
            for job, row in list(active.items()):
                if row.parts[-1].stop == "eos" or row.written >= sampling.max_tokens:
                    yield job, _whole(row)
                    del active[job]

    def _write(self, rows: Sequence[_Row], stepwise: Sampling) -> None:
        """One more step of every row."""
        room = stepwise.max_tokens - min(row.written for row in rows)
        calls: dict[int, list[_Row]] = {}  # tokens to draw -> rows
        for row in rows:
            alone = len(row.read) + room > self.policy.context  # the context holds its own budget and no more
            limit = stepwise.max_tokens - row.written if alone else room
            calls.setdefault(limit, []).append(row)
        for limit, together in calls.items():
            histories = [(row.read, row.step_seed()) for row in together]
            drawn = continuations(self.sampler, histories, replace(stepwise, max_tokens=limit))
            for row, part in zip(together, drawn, strict=True):
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
        stop=row.parts[-1].stop,
        versions=np.concatenate([part.versions for part in row.parts]),
        seed=row.seed,
        selected=any(part.selected for part in row.parts),
    )
