"""What a run trains or measures: an agent (`agent.py`), which learns, or a baseline (`baseline.py`), which does not.

A method says itself how it is measured and what it leaves, so a new kind of method is one class.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from reasonenv.policy.hf_policy import Policy
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.sampling.goal_sampler import conditioned_sampler
from reasonenv.sampling.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reasonenv.core import Group
    from reasonenv.measures.samples import Sample
    from reasonenv.policy.scorer import Scorer


Signal = Literal["correct", "contrast", "any"]  # what rollouts need to teach: right answers, different rewards


@dataclass(frozen=True)
class Evaluation:
    """Figures on held-out problems, and a few answers as (question, response, verdict)."""

    metrics: dict[str, float]
    answers: Sequence[tuple[str, str, str]]


class Evaluator(Protocol):
    """Measures a method on held-out problems."""

    def __call__(self, iteration: int) -> Evaluation:
        """Measures it as it is after so many iterations, and stores every answer."""

    def stored(self, iteration: int) -> list[Sample]:
        """The answers that were stored after so many iterations."""

    def sampled(self, samples: int) -> list[Group]:
        """`samples` answers to each problem at temperature 1, where the method changes how they come about."""

    def negated(self) -> list[Sample]:
        """Greedy answers behind the negated goal, of a policy that is conditioned on goals."""

    def summary(self, iterations: int) -> dict[str, Any]:
        """What a run of so many iterations has gained: `before`, `after`, `gain` and `problems`, at least."""


class Evaluators(Protocol):
    """The evaluators on the held-out problems of one run, among which a method chooses."""

    def greedy(self, method: Method) -> Evaluator:
        """By the greedy answers of the method's policy."""

    def scores(self, method: Method, scorer: Scorer) -> Evaluator:
        """By whether the scores of sampled answers tell right ones from wrong ones."""

    def choice(self, baseline: Any) -> Evaluator:
        """By the answers that a `Baseline` chooses among samples, against the greedy answers of its policy."""


class Method:
    """A policy, and the numbers and the seed of what is done with it."""

    Config: ClassVar[Any]  # the record of its numbers
    trains_policy: ClassVar[bool] = True
    signal: ClassVar[Signal] = "any"

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

    def evaluator(self, evaluators: Evaluators) -> Evaluator:
        """How the method is measured."""
        return evaluators.greedy(self)

    def save(self, out: Path) -> None:
        """Leaves what was trained in the folder of a run: `out/policy`."""
        self.policy.save(out / "policy", self.goals)
