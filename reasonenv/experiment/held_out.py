"""Answers to held-out problems outside a run's evaluations: of a policy by itself, and its base budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reasonenv.learn.evaluation import records
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.measures.discovery import Draws, base_draws
from reasonenv.measures.samples import Sample
from reasonenv.policy.value_head import Scorer
from reasonenv.rollout.groups import sample_groups
from reasonenv.sampling.sampler import Sampler


def evaluate(
    sampler: Sampler,
    mdp: ReasoningMDP,
    problems: Sequence[int],
    *,
    samples: int,
    temperature: float,
    seed: int,
    scorer: Scorer | None = None,
    **options: Any,
) -> list[Sample]:
    """`samples` answers to each problem, drawn with the `options` of `sample_groups`, scored if there is a `scorer`.

    Temperature 0 and one sample give the greedy accuracy.
    """
    path = (seed, "evaluation")
    groups = sample_groups(sampler, mdp, problems, samples, temperature=temperature, seed=path, **options)
    return records(groups, mdp, greedy=temperature == 0, scorer=scorer)


def base(
    sampler: Sampler, mdp: ReasoningMDP, problems: Sequence[int], *, first: int, most: int, seed: int
) -> list[Draws]:
    """The base budget of each problem: `first` samples at temperature 1, up to `most` where none of them is right.

    Their seeds are a path of their own, so they are independent of every evaluation.
    """

    def count(chosen: Sequence[int], samples: int, number: int) -> list[tuple[int, int]]:
        counts = []
        for group in sample_groups(sampler, mdp, chosen, samples, temperature=1.0, seed=("base", seed, number)):
            verdicts = [t.verdict for t in group.trajectories if t.verdict.checked]
            counts.append((len(verdicts), sum(verdict.correct for verdict in verdicts)))
        return counts

    counts = base_draws(count, problems, first=first, most=most)
    return [Draws(mdp.task.problems[i].id, drawn, right) for i, (drawn, right) in counts.items()]
