"""Forcing a goal before every step that a conditioned policy writes, over any other sampler.

    prompt [GOOD] step 1 \\n [GOOD] step 2 \\n ... [GOOD] last step EOS

Goals are input. They are in no completion, in no log-prob and in no budget, so environments and verifiers never meet
them; but every log-prob is that of a token given all that stands before it, goals included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from reasonenv.core import IntArray
from reasonenv.errors import UserError
from reasonenv.policy.goals import Goals
from reasonenv.policy.policy import Policy
from reasonenv.sampling.sampler import Drawn, Job, Sampler, Sampling, check_prompts
from reasonenv.sampling.session import Continuation


def conditioned_sampler(sampler: Sampler, policy: Policy, goals: Goals | None) -> Sampler:
    """`sampler`, a sampler of `policy`, conditioned on `goals`; without goals `sampler` itself."""
    return sampler if goals is None else GoalSampler(sampler, policy, goals)


class GoalSampler(Sampler):
    """`sampler`, a sampler of `policy`, with `goals.goal` before every step.

    Near the end of the context, where a goal would take the place of what the budget allows, no more goals are set.
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
        ends, ends_step = self.policy.tokenizer.ends, np.flatnonzero(self.policy.tokenizer.ends_step)
        read = [len(prompts[n]) for n, _ in jobs]  # goals included
        left = [sampling.max_tokens] * len(jobs)  # of the budget

        def goal(row: int, step: list[int]) -> Continuation:
            read[row] += len(step)
            left[row] -= len(step)
            if left[row] == 0 or (step and step[-1] in ends):
                return Continuation(over=True)
            if read[row] + len(self.goal) + left[row] > self.policy.context:
                return Continuation()
            read[row] += len(self.goal)
            return Continuation(self.goal)

        with self.sampler.open(prompts, jobs, replace(sampling, stop=tuple(ends_step.tolist()))) as session:
            yield from session.run(len(jobs), goal)
