"""Held-out evaluation: one greedy answer and K sampled ones for each problem, stored sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from reasonenv.core import Group
from reasonenv.errors import UserError
from reasonenv.experiment.scoring import token_scores
from reasonenv.learn.agent import Metrics
from reasonenv.learn.fixed import Fixed
from reasonenv.learn.judge import score_steps
from reasonenv.learn.loop import Evaluation
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.measures.comparisons import Contrast, contrasts
from reasonenv.measures.discovery import Draws, base_draws
from reasonenv.measures.metrics import auc
from reasonenv.measures.questions import by_question, held_out_problems
from reasonenv.measures.samples import Sample, read_samples, write_samples
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.policy.policy import Policy
from reasonenv.policy.value_head import Scorer
from reasonenv.rollout.groups import sample_groups
from reasonenv.sampling.sampler import Sampler
from reasonenv.stats import accuracy, wilson

INITIAL_SAMPLES = 4  # a problem, which suffice for a mean over many problems


def evaluate(
    sampler: Sampler,
    mdp: ReasoningMDP,
    problems: Sequence[int],
    *,
    samples: int,
    temperature: float,
    seed: int,
    top_k: int = 0,
    top_p: float = 1.0,
    scorer: Scorer | None = None,
    progress: Callable[[int], None] = lambda finished: None,
) -> list[Sample]:
    """`samples` answers to each problem, drawn as `Sampling` says, scored if there is a `scorer`.

    Temperature 0 and one sample give the greedy accuracy.
    """
    groups = sample_groups(
        sampler,
        mdp,
        problems,
        samples,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=(seed, "evaluation"),
        progress=progress,
    )
    return records(groups, mdp, greedy=temperature == 0, scorer=scorer)


def records(
    groups: Sequence[Group],
    mdp: ReasoningMDP,
    *,
    greedy: bool,
    scorer: Scorer | None = None,
    initial: Policy | None = None,
    tokens_per_microbatch: int = TOKENS_PER_MICROBATCH,
) -> list[Sample]:
    """Trajectories as they are stored; some bear their log-probability under the `initial` policy, if it is given."""
    every = [t for group in groups for t in group.trajectories]
    size = tokens_per_microbatch
    found = iter(score_steps(scorer, every, tokens_per_microbatch=size) if scorer else [])
    before = initial_logps(groups, initial, tokens_per_microbatch=size) if initial else {}
    return [
        Sample(
            problem_id=group.problem.id,
            index=index,
            greedy=greedy,
            correct=t.verdict.correct,
            reason=str(t.verdict.reason),
            extracted=t.verdict.extracted,
            length=len(t.tokens),
            truncated=t.truncated,
            text=mdp.tokenizer.decode(t.tokens[: len(t.tokens) - t.terminated].tolist()),
            canonical=t.verdict.canonical,
            score=float(next(found)[-1]) if scorer else None,
            logp=None if greedy else float(t.logprobs.sum(dtype=np.float64)),
            initial_logp=before.get((row, index)),
        )
        for row, group in enumerate(groups)
        for index, t in enumerate(group.trajectories)
    ]


def initial_logps(
    groups: Sequence[Group], initial: Policy, *, tokens_per_microbatch: int = TOKENS_PER_MICROBATCH
) -> dict[tuple[int, int], float]:
    """(group, sample) -> log-probability, of the first `INITIAL_SAMPLES` samples of each problem."""
    some = [Group(g.problem, g.trajectories[:INITIAL_SAMPLES]) for g in groups]
    logp, _ = token_scores(some, initial, tokens_per_microbatch=tokens_per_microbatch)
    found = logp.sum(dim=1, dtype=torch.float64).tolist()
    keys = [(row, index) for row, g in enumerate(some) for index in range(len(g.trajectories))]
    return dict(zip(keys, found, strict=True))


def base(
    sampler: Sampler, mdp: ReasoningMDP, problems: Sequence[int], *, first: int, most: int, seed: int
) -> list[Draws]:
    """The base budget of each problem: `first` samples at temperature 1, up to `most` where none of them is right.

    Their seeds are a path of their own, so they are independent of every evaluation.
    """

    def ask(chosen: Sequence[int], samples: int, number: int) -> list[tuple[int, int]]:
        groups = sample_groups(sampler, mdp, chosen, samples, temperature=1.0, seed=("base", seed, number))
        verdicts = [[t.verdict for t in group.trajectories if t.verdict.checked] for group in groups]
        return [(len(each), sum(verdict.correct for verdict in each)) for each in verdicts]

    counts = base_draws(ask, problems, first=first, most=most)
    return [Draws(mdp.task.problems[i].id, drawn, right) for i, (drawn, right) in counts.items()]


def contrary(policy: Policy, ask: Callable[[], list[Sample]]) -> list[Sample]:
    """What `ask` finds while the policy is asked for the contrary of its goal; nothing for one without goals.

    A policy that answers as well has not learned what its goals mean.
    """
    goals = policy.goals
    if goals is None:
        return []
    policy.goals = goals.reversed()
    try:
        return ask()
    finally:
        policy.goals = goals


class HeldOut:
    """Greedy accuracy on the first `problems` of a held-out split, during training. Keeps every answer in `folder`."""

    def __init__(self, sampler: Sampler, mdp: ReasoningMDP, folder: Path, *, problems: int, seed: int) -> None:
        self._sampler, self._mdp, self._folder, self._seed = sampler, mdp, folder, seed
        self._problems = range(min(problems, len(mdp.task.problems)))

    def path(self, iteration: int) -> Path:
        """Where the answers after so many iterations are kept."""
        return self._folder / f"{iteration:06d}.parquet"

    def __call__(self, iteration: int) -> Evaluation:
        found = self.answers(iteration)
        write_samples(self.path(iteration), found)
        return Evaluation(self.figures(found), [self._told(s) for s in examples(found)])

    def answers(self, iteration: int) -> list[Sample]:
        """What is asked: one greedy answer a problem."""
        return evaluate(self._sampler, self._mdp, self._problems, samples=1, temperature=0.0, seed=self._seed)

    def figures(self, found: Sequence[Sample]) -> Metrics:
        """What is logged of the answers."""
        return {**self.share(found), "eval/truncated": sum(s.truncated for s in found) / len(found)}

    def share(self, samples: Sequence[Sample]) -> Metrics:
        """The share of hits over the questions that could be judged, with its 95 % interval.

        Raises `UserError` if none could be judged.
        """
        every = accuracy(samples, self.hit)
        outcomes = self._by_question(samples)
        mean = fmean(outcomes.values()) if outcomes else every.value  # which raises, with the reasons
        low, high = wilson(mean, len(outcomes))
        name = "eval/greedy_accuracy"
        return {name: mean, f"{name}/low": low, f"{name}/high": high, "eval/verifier_errors": every.unjudged}

    def hit(self, sample: Sample) -> bool:
        """Whether a sample counts for the trained policy."""
        return sample.correct

    def outcomes(self, iteration: int) -> dict[str, float]:
        """Question -> the share of hits after so many iterations; without those that could not be judged."""
        return self._by_question(read_samples(self.path(iteration)))

    def accuracy(self, iteration: int) -> float:
        """The share of hits over the questions that could be judged after so many iterations."""
        return self.share(read_samples(self.path(iteration)))["eval/greedy_accuracy"]

    def _by_question(self, samples: Sequence[Sample]) -> dict[str, float]:
        problems: dict[str, list[Sample]] = {}
        for sample in samples:
            problems.setdefault(sample.problem_id, []).append(sample)
        shares = {name: accuracy(answers, self.hit) for name, answers in problems.items()}
        asked = held_out_problems(self._mdp.task.problems[i] for i in self._problems)
        return by_question({name: share.value for name, share in shares.items() if share.judged}, asked)

    def gain(self, first: int, last: int) -> Contrast:
        """The difference between two iterations for this policy, paired by the questions judged after both of them.

        Raises `UserError` if there is none.
        """
        rows = {"before": {0: self.outcomes(first)}, "after": {0: self.outcomes(last)}}
        compared = contrasts(rows, [("after", "before")], fixed=rows)
        if not compared:
            raise UserError(
                f"no held-out problem was judged after {first} and after {last} iterations; "
                f"look at the reasons in {self.path(first)} and {self.path(last)}"
            )
        return compared[0]

    def _told(self, sample: Sample) -> tuple[str, str, str]:
        problem = next(p for p in self._mdp.task.problems if p.id == sample.problem_id)
        verdict = f"{sample.reason}: found {sample.extracted!r}, gold {problem.answer!r}"
        return problem.question, sample.text, verdict


class HeldOutScores(HeldOut):
    """Of a reward model in training: whether its score at the end of sampled answers tells right from wrong.

    The policy stays as it is, so every evaluation is of the same `samples` answers a problem.
    """

    def __init__(
        self,
        *where: Any,
        scorer: Scorer,
        samples: int,
        tokens_per_microbatch: int = TOKENS_PER_MICROBATCH,
        **named: Any,
    ) -> None:
        super().__init__(*where, **named)
        self._scorer, self._samples, self._tokens = scorer, samples, tokens_per_microbatch
        self._groups: list[Group] = []

    def answers(self, iteration: int) -> list[Sample]:
        if not self._groups:
            path = (self._seed, "evaluation")
            self._groups = sample_groups(
                self._sampler, self._mdp, self._problems, self._samples, temperature=1.0, seed=path
            )
        groups, scorer = self._groups, self._scorer
        return records(groups, self._mdp, greedy=False, scorer=scorer, tokens_per_microbatch=self._tokens)

    def figures(self, found: Sequence[Sample]) -> Metrics:
        area = area_under_curve(found)
        return {**self.share(found), **({} if area is None else {"eval/auc": area})}

    def hit(self, sample: Sample) -> bool:
        """Whether a score above 1/2 foretold the verdict."""
        return ((sample.score or 0.0) > 0.5) == sample.correct


class HeldOutChoice(HeldOut):
    """Of an agent that does not learn: the policy's greedy answers before, then the answers that it chooses."""

    def __init__(self, *where: Any, agent: Fixed, **named: Any) -> None:
        super().__init__(*where, **named)
        self._agent = agent

    def answers(self, iteration: int) -> list[Sample]:
        if iteration == 0:
            return super().answers(0)
        sampler, count = self._agent.sampler(self._sampler), self._agent.config.samples_per_problem
        path = (self._seed, "choice")
        groups = sample_groups(sampler, self._mdp, self._problems, count, temperature=1.0, seed=path)
        picks = [self._agent.choose([t.verdict for t in g.trajectories]) for g in groups]
        chosen = [Group(g.problem, (g.trajectories[pick],)) for g, pick in zip(groups, picks, strict=True)]
        return records(chosen, self._mdp, greedy=True)


def area_under_curve(samples: Sequence[Sample]) -> float | None:
    """`auc` of the scores of the judged answers."""
    judged = [sample for sample in samples if sample.verified]
    return auc([sample.score or 0.0 for sample in judged], [sample.correct for sample in judged])


def examples(samples: Sequence[Sample], count: int = 3) -> list[Sample]:
    """The first sample of each reason, then others, `count` in all: what a policy does well and how it fails."""
    first = {s.reason: s for s in reversed(samples)}
    chosen = [s for s in samples if first[s.reason] is s]
    return [*chosen, *(s for s in samples if s not in chosen)][:count]
