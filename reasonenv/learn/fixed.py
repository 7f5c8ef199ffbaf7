"""The floor and the ceilings of a table: agents that do not learn, and only answer in another way than greedily."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from reasonenv.core import Group, Verdict
from reasonenv.learn.agent import Agent, Budget, Metrics, Plan
from reasonenv.policy.policy import Policy
from reasonenv.sampling.sampler import Sampler
from reasonenv.settings import record, setting


@record
class FixedConfig:
    """How much an answer may cost."""

    samples_per_problem: int = setting(8, "k: samples from which one answer is made", ge=1)


class Fixed(Agent):
    """Slot: `choose`, which makes one answer of k samples at temperature 1. It counts where a greedy one would."""

    Config: ClassVar[Any] = FixedConfig
    conditions = True  # nothing is trained, so nothing can go wrong

    def __init__(self, policy: Policy, config: FixedConfig | None = None, *, seed: int = 0) -> None:
        self.policy, self.seed = policy, seed
        self.config = config if config is not None else self.Config()

    @staticmethod
    @abstractmethod
    def choose(verdicts: Sequence[Verdict]) -> int:
        """Which of the samples of a problem, by their verdicts, is the answer."""

    def sampler(self, sampler: Sampler) -> Sampler:
        """What draws the samples: the sampler of the policy."""
        return sampler

    def plan(self, budget: Budget) -> Plan:
        return Plan(problems=0, samples=0)

    def learn(self, groups: Sequence[Group], budget: Budget) -> Metrics:
        return {"updates": 0.0}

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        pass
