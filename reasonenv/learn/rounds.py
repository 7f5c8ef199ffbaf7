"""Agents that work in rounds: sample, add what is new to D, imitate D from the initial policy.

D_n = distinct({(Q, S_k) : S_k ~ pi_(n-1)(. | Q), k <= K}) u D_(n-1)
pi_n = argmin_theta  - sum_(Q, S in D_n) sum_t log pi_theta(S_t | Q, S_<t),   theta starting at the INITIAL policy
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from torch import Tensor

from reasonenv.core import Group, Trajectory
from reasonenv.learn.agent import Budget, Config, Metrics
from reasonenv.learn.dataset import pack, unpack
from reasonenv.learn.imitation import Imitation, cosine
from reasonenv.learn.observer import SILENT, Observer
from reasonenv.measures.parquet import write_records
from reasonenv.measures.training_set import TRAINING_SET, Solution
from reasonenv.policy.policy import Policy
from reasonenv.seeding import generator
from reasonenv.settings import record, setting
from reasonenv.tasks import reference_solution
from reasonenv.verify.solution_path import operations


@record
class RoundsConfig(Config):
    """An iteration is a round. 2403.04642: K = 96, 4 to 5 rounds, the hyper-parameters of SFT."""

    lr: float = setting(1e-3, "peak learning rate of each round's SFT; warm-up, then cosine")
    problems_per_iteration: int | None = setting(None, "N: problems a round (none: the training set, as in the paper)")
    samples_per_problem: int = setting(8, "K: samples a problem and round (paper: 96; 4 works too)")
    temperature: float = setting(1.0, "of the rollouts (paper: 1.0)", gt=0)
    epochs: int = setting(4, "passes of each round's SFT over D", gt=0)
    solutions_per_step: int = setting(64, "solutions in one optimiser step", gt=0)
    solutions_per_problem: int = setting(8, "distinct right, and distinct wrong, solutions of a problem in D", gt=0)


class Rounds(Imitation):
    """Slots: which samples it `keeps` in D, and the `lessons` that it makes of D.

    Two solutions are the same if their sequence of arithmetic operations is. The first ones found stay.
    """

    Config = RoundsConfig
    config: RoundsConfig

    def __init__(self, policy: Policy, config: RoundsConfig | None = None, *, seed: int = 0) -> None:
        super().__init__(policy, config, seed=seed)
        self.initial = {name: value.detach().clone() for name, value in policy.state_dict().items()}
        # (problem id, whether right) -> operations -> solution
        self.kept: dict[tuple[str, bool], dict[tuple[str, ...], Trajectory]] = {}

    @abstractmethod
    def keeps(self, trajectory: Trajectory) -> bool:
        """Whether a sample belongs in D."""

    def lessons(self, solutions: Sequence[Trajectory], draws: Sequence[np.random.Generator]) -> list[list[Trajectory]]:
        """What to imitate in each epoch, in its order. Each epoch has a generator of its own: all of D, shuffled."""
        epochs = []
        for draw in draws:
            epochs.append([solutions[i] for i in draw.permutation(len(solutions))])
        return epochs

    def learn(self, groups: Sequence[Group], budget: Budget, observer: Observer = SILENT) -> Metrics:
        c = self.config
        before = len(self.training_set)
        for group in groups:
            self._extend(filter(self.keeps, group.trajectories))
        solutions = self.training_set
        metrics: Metrics = {"kept": float(len(solutions)), "kept/new": float(len(solutions) - before), "updates": 0.0}
        draws = [generator(self.seed, "imitate", budget.iteration, epoch) for epoch in range(c.epochs)]
        steps = []
        for lesson in self.lessons(solutions, draws):
            starts = range(0, len(lesson), c.solutions_per_step)
            steps += [lesson[start : start + c.solutions_per_step] for start in starts]
        if not steps:
            return metrics  # there is nothing to imitate: the policy stays as it is
        self.policy.load_state_dict(self.initial)
        self.optimizer = self.new_optimizer()
        taken = 0.0
        for step, chosen in enumerate(steps):
            lr = cosine(c.lr, step, len(steps))
            metrics |= self.imitate([Group(t.problem, (t,)) for t in chosen], lr, observer)
            taken += metrics["updates"]
            observer.doing(f"imitating {len(solutions)} solutions, step {step + 1}/{len(steps)}")
        return metrics | {"updates": taken, "updates/refused": len(steps) - taken}

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | pack(self.training_set)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        super().load_state_dict(state)
        self.kept = {}
        self._extend(unpack(state))

    @property
    def training_set(self) -> list[Trajectory]:
        """D, as it stands."""
        return list(chain.from_iterable(solutions.values() for solutions in self.kept.values()))

    def save(self, out: Path) -> None:
        """Leaves the policy and, in `out/training_set.parquet`, D and the reference solutions of its problems."""
        super().save(out)
        rows, problems = [], {}
        for t in self.training_set:
            rows.append(Solution(t.problem.id, t.problem.question, False, t.verdict.correct, self._text(t)))
            problems[t.problem.id] = t.problem
        for problem in problems.values():
            if problem.steps:
                rows.append(Solution(problem.id, problem.question, True, True, reference_solution(problem)))
        write_records(out / TRAINING_SET, Solution, rows)

    def _extend(self, trajectories: Iterable[Trajectory]) -> None:
        """Adds to D what is new, as long as there is room."""
        for trajectory in trajectories:
            # Made by the first solution only, so that the order of D is that of a checkpoint.
            solutions = self.kept.setdefault((trajectory.problem.id, trajectory.verdict.correct), {})
            if len(solutions) < self.config.solutions_per_problem:
                solutions.setdefault(operations(self._text(trajectory)), trajectory)

    def _text(self, t: Trajectory) -> str:
        return self.policy.tokenizer.decode(t.tokens[: len(t.tokens) - t.terminated].tolist())
