"""What a run trains or measures: an agent (`agent.py`), which learns, or a baseline (`baseline.py`), which does not.

A method says itself how it is measured and what it leaves, so a new kind of method is one class.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from reasonenv.learn.evaluation import GreedyEvaluator, HeldOut
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.policy.policy import Policy
from reasonenv.rollout.search import Searching
from reasonenv.sampling.goal_sampler import conditioned_sampler
from reasonenv.sampling.sampler import Sampler

Signal = Literal["correct", "contrast", "any"]  # what rollouts need to teach: right answers, different rewards


class Method:
    """A policy, and the numbers and the seed of what is done with it."""

    Config: ClassVar[Any]  # the record of its numbers
    trains_policy: ClassVar[bool] = True
    signal: ClassVar[Signal] = "any"
    learns_from_rewards: ClassVar[bool] = False  # where others go by verdicts, or by nothing
    # Whether it can learn from samples that something chose among draws (`Trajectory.selected`), or made of parts.
    takes_selected: ClassVar[bool] = False
    searching: Searching | None = None  # how its samples are searched for, where each is not simply a draw

    def __init__(self, policy: Policy, config: Any = None, *, seed: int = 0) -> None:
        self.policy, self.seed = policy, seed
        self.config = self.Config() if config is None else config
        self.goals = policy.goals  # on which the policy is conditioned when it samples

    @property
    def tokens_per_microbatch(self) -> int:
        """Tokens that may pass a model at once. A baseline has no setting of it."""
        return int(getattr(self.config, "tokens_per_microbatch", TOKENS_PER_MICROBATCH))

    def policy_sampler(self, sampler: Sampler) -> Sampler:
        """`sampler`, which draws from the policy, conditioned on the method's goals as they are now."""
        return conditioned_sampler(sampler, self.policy, self.goals)

    def sampler(self, sampler: Sampler) -> Sampler:
        """What draws the samples of the method; `sampler` draws from the policy."""
        return self.policy_sampler(sampler)

    def evaluator(self, held_out: HeldOut) -> GreedyEvaluator:
        """How the method is measured: by the greedy answers of its policy."""
        return GreedyEvaluator(held_out, self)

    def save(self, out: Path) -> None:
        """Leaves what was trained in the folder of a run: `out/policy`."""
        self.policy.save(out / "policy", self.goals)
