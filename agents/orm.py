"""The outcome reward model: from any prefix of a response, the chance that its final answer will be right.

    L = - 1/N  sum_(Q, S)  sum_t  [y log s_t + (1 - y) log(1 - s_t)],   s_t = p(S is correct | Q, S_<=t)

y is the outcome of the response itself, given to every token of it; N: tokens of the optimiser batch. The policy writes
the samples and stays as it is. `eval --orm` ranks answers by s at their end, `train ... orm=` rewards by it, and rcrl
labels steps by it.

Source: 2211.14275; 2110.14168 (token-level verifier); 2403.04642. Differences: no language-model loss beside it;
samples are neither balanced nor deduplicated, so that s estimates the chance under the policy that wrote them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from reasonenv.core import Batch, Group
from reasonenv.learn.agent import Agent, Budget, Config, Metrics, step_metrics
from reasonenv.learn.evaluation import HeldOut, ScoreEvaluator
from reasonenv.learn.imitation import cosine
from reasonenv.learn.observer import SILENT, Observer
from reasonenv.policy.policy import Policy
from reasonenv.policy.value_head import Scorer
from reasonenv.seeding import generator
from reasonenv.settings import record, setting


@record
class ORMConfig(Config):
    """An iteration samples, then passes over the samples; the learning rate falls over the whole run."""

    lr: float = setting(3e-4, "peak learning rate; warm-up, then cosine over the iterations")
    problems_per_iteration: int | None = setting(64, "N: problems an iteration (none: the whole training set)")
    temperature: float = setting(1.0, "of the samples that are judged", gt=0)
    epochs: int = setting(2, "passes over the samples of an iteration", gt=0)
    solutions_per_step: int = setting(64, "solutions in one optimiser step", gt=0)


class OutcomeRewardModel(Agent):
    """Learns to foresee from every prefix whether a sample will be right; the policy stays. 2211.14275."""

    Config = ORMConfig
    config: ORMConfig
    trains_policy = False
    prefix = "scorer."
    signal = "any"  # right and wrong answers teach alike

    def __init__(self, policy: Policy, config: ORMConfig | None = None, *, seed: int = 0) -> None:
        self.scorer = Scorer(policy.trainable_copy())
        super().__init__(policy, config, seed=seed)

    @property
    def learner(self) -> Scorer:
        return self.scorer

    def evaluator(self, held_out: HeldOut) -> ScoreEvaluator:
        return ScoreEvaluator(held_out, self, self.scorer)

    def save(self, out: Path) -> None:
        self.scorer.save(out / "scorer")

    def learn(self, groups: Sequence[Group], budget: Budget, observer: Observer = SILENT) -> Metrics:
        c = self.config
        samples = [t for group in groups for t in group.trajectories if t.verdict.checked]
        lr = cosine(c.lr, budget.iteration, budget.iterations)
        losses, norms = [], []
        for epoch in range(c.epochs):
            order = generator(self.seed, "judge", budget.iteration, epoch).permutation(len(samples))
            for start in range(0, len(order), c.solutions_per_step):
                chosen = [samples[i] for i in order[start : start + c.solutions_per_step]]
                batch = self.batch([Group(t.problem, (t,)) for t in chosen])
                right = torch.tensor([[float(t.verdict.correct)] for t in chosen])  # [B, 1]
                losses.append(self.accumulate(batch, partial(self.cross_entropy, right)))
                norms.append(self.step(batch, lr, losses[-1], observer))
        if not losses:
            return {"updates": 0.0}  # no sample could be checked
        return step_metrics(losses, norms, lr)

    def cross_entropy(self, right: Tensor, micro: Batch, rows: Tensor) -> Tensor:
        """The loss of each token [b, t], where the answers of the batch are `right` [B, 1] or not."""
        logits = self.scorer.logits(micro)
        target = right[rows].to(logits.device).expand_as(logits)
        return binary_cross_entropy_with_logits(logits, target, reduction="none")
