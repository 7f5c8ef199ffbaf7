"""Expert Iteration: sample, keep what is correct and new, imitate it from the initial policy, repeat.

    R_n = distinct({(Q, S_k) : S_k ~ pi_(n-1)(. | Q), k <= K, S_k correct}),     D_n = R_n u D_(n-1)
    pi_n = argmin_theta  - sum_(Q, S in D_n) sum_t log pi_theta(S_t | Q, S_<t),   theta starting at the INITIAL policy

Source: 2403.04642 (also RFT, 2308.01825; ReST-EM, 2312.06585). Two solutions are the same if their sequence of
arithmetic operations is. An iteration is a round: K samples of every problem, then SFT. Differences: solutions of a
problem are capped, or the easy problems would be most of D; the cap keeps the first ones found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from reasonenv.core import Group, Trajectory
from reasonenv.errors import UserError
from reasonenv.learn.agent import Budget, Config, Imitation, Metrics, Plan, cosine, knob
from reasonenv.learn.dataset import pack, unpack
from reasonenv.learn.filters import correct, operations
from reasonenv.policy.lm import Policy
from reasonenv.seeding import generator


@dataclass(frozen=True)
class EIConfig(Config):
    """The paper: K = 96, 4 to 5 rounds, the hyper-parameters of SFT."""

    lr: float = knob(1e-3, "peak learning rate of each round's SFT; warm-up, then cosine")
    problems_per_iteration: int | None = knob(
        None, "N: problems a round (none: the whole training set, as in the paper)"
    )
    samples_per_problem: int = knob(8, "K: samples a problem and round (paper: 96; 4 works too)")
    temperature: float = knob(1.0, "of the rollouts (paper: 1.0)")
    epochs: int = knob(4, "passes of each round's SFT over D")
    solutions_per_step: int = knob(64, "solutions in one optimiser step")
    solutions_per_problem: int = knob(8, "distinct solutions of a problem kept in D")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("temperature", "epochs", "solutions_per_step", "solutions_per_problem"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must be greater than 0")


class ExpertIteration(Imitation):
    """Imitates its own correct, distinct samples, each round from the initial policy. 2403.04642."""

    Config = EIConfig
    config: EIConfig

    def __init__(self, policy: Policy, config: EIConfig | None = None, *, seed: int = 0) -> None:
        super().__init__(policy, config, seed=seed)
        self.initial = {name: value.detach().clone() for name, value in policy.state_dict().items()}
        self.kept: dict[str, dict[tuple[str, ...], Trajectory]] = {}  # problem id -> operations -> solution

    def plan(self, budget: Budget) -> Plan:
        c = self.config
        return Plan(c.problems_per_iteration, c.samples_per_problem, c.temperature)

    def learn(self, groups: Sequence[Group], budget: Budget) -> Metrics:
        c = self.config
        before = self._size()
        for group in groups:
            for trajectory in correct(group.trajectories):
                # Made by the first solution only, so that the order of D is that of a checkpoint.
                mine = self.kept.setdefault(group.problem.id, {})
                if len(mine) < c.solutions_per_problem:
                    mine.setdefault(operations(self._text(trajectory)), trajectory)
        solutions = [t for mine in self.kept.values() for t in mine.values()]
        metrics: Metrics = {"kept": float(len(solutions)), "kept/new": float(len(solutions) - before), "updates": 0.0}
        if not solutions:
            return metrics  # nothing was correct: the policy stays as it is
        self.policy.load_state_dict(self.initial)
        self.optimizer = self.new_optimizer()
        each = math.ceil(len(solutions) / c.solutions_per_step)
        for step in range(steps := each * c.epochs):
            epoch, start = step // each, step % each * c.solutions_per_step
            order = generator(self.seed, "imitate", budget.iteration, epoch).permutation(len(solutions))
            chosen = [solutions[i] for i in order[start : start + c.solutions_per_step]]
            taken = metrics["updates"]
            metrics |= self.imitate([Group(t.problem, (t,)) for t in chosen], cosine(c.lr, step, steps))
            metrics["updates"] += taken
            self.heartbeat(f"imitating {len(solutions)} solutions, step {step + 1}/{steps}")
        return metrics | {"updates/refused": steps - metrics["updates"]}

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | pack(t for mine in self.kept.values() for t in mine.values())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        super().load_state_dict(state)
        self.kept = {}
        for trajectory in unpack(state):
            self.kept.setdefault(trajectory.problem.id, {})[operations(self._text(trajectory))] = trajectory

    def _text(self, trajectory: Trajectory) -> str:
        return self.policy.tokenizer.decode(trajectory.tokens[:-1].tolist())

    def _size(self) -> int:
        return sum(map(len, self.kept.values()))
