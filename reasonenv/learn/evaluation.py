"""Held-out evaluation: how a method is measured during a run and at its end, answer by answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import numpy as np

from reasonenv.core import FloatArray, Group, Reason
from reasonenv.errors import UserError
from reasonenv.learn.judge import score_steps
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.measures.comparisons import Contrast, contrasts
from reasonenv.measures.metrics import auc
from reasonenv.measures.questions import by_question, held_out_problems
from reasonenv.measures.samples import Sample, read_samples, write_samples
from reasonenv.policy.goals import Goals
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.policy.policy import Policy
from reasonenv.policy.value_head import Scorer
from reasonenv.rollout.groups import sample_groups
from reasonenv.rollout.search import Rollouts, Searching, roll_out
from reasonenv.sampling.goal_sampler import conditioned_sampler
from reasonenv.sampling.sampler import Sampler
from reasonenv.stats import accuracy, means, wilson

SEARCH = "search"  # the purpose of the draws of a search
SCORED_SAMPLES = 4  # a problem, on which a reward model is measured where a run does not say how many


@dataclass(frozen=True)
class Evaluation:
    """Figures on held-out problems, and a few answers as (question, response, verdict)."""

    metrics: dict[str, float]
    answers: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class HeldOut:
    """The held-out problems of a run, and what draws answers to them."""

    sampler: Sampler  # of the policy, without goals
    mdp: ReasoningMDP
    folder: Path  # where the answers of every evaluation are stored
    problems: range
    seed: int
    samples: int = SCORED_SAMPLES  # answers to each problem, on which a reward model is measured

    def draw(self, sampler: Sampler, samples: int, temperature: float, purpose: str = "evaluation") -> list[Group]:
        """`samples` answers to each problem."""
        path = (self.seed, purpose)
        return sample_groups(sampler, self.mdp, self.problems, samples, temperature=temperature, seed=path)

    def search(self, method: Measured) -> list[Sample]:
        """The answer of the method's search to each problem."""
        sampler, path = method.policy_sampler(self.sampler), (self.seed, SEARCH)
        return searched(
            roll_out(method.searching, sampler, self.mdp, self.problems, 1, temperature=1.0, seed=path), self.mdp
        )


def records(
    groups: Sequence[Group],
    mdp: ReasoningMDP,
    *,
    greedy: bool,
    scorer: Scorer | None = None,
    tokens_per_microbatch: int = TOKENS_PER_MICROBATCH,
) -> list[Sample]:
    """Trajectories as they are stored, with scores if there is a `scorer`."""
    rows = [(index, t) for group in groups for index, t in enumerate(group.trajectories)]
    scores: list[FloatArray] | None = None
    if scorer is not None:
        scores = score_steps(scorer, [t for _, t in rows], tokens_per_microbatch=tokens_per_microbatch)
    samples = []
    for n, (index, t) in enumerate(rows):
        sample = Sample(
            problem_id=t.problem.id,
            index=index,
            greedy=greedy,
            correct=t.verdict.correct,
            reason=str(t.verdict.reason),
            extracted=t.verdict.extracted,
            length=len(t.tokens),
            truncated=t.truncated,
            text=mdp.tokenizer.decode(t.tokens[: len(t.tokens) - t.terminated].tolist()),
            canonical=t.verdict.canonical,
            score=float(scores[n][-1]) if scores else None,
            logp=None if greedy or t.selected else float(t.logprobs.sum(dtype=np.float64)),
            selected=t.selected,
            verdict_score=t.verdict.score,
            metrics=t.metrics or None,
        )
        samples.append(sample)
    return samples


def searched(rollouts: Rollouts, mdp: ReasoningMDP) -> list[Sample]:
    """The answer to each problem that a search has come upon, as it is stored, with the tokens that were drawn for it.

    Where no response was finished within the budget there is no answer.
    """
    samples = []
    for group, tokens in zip(rollouts.groups, rollouts.tokens, strict=True):
        answer = next(iter(records([group], mdp, greedy=False)), None)
        if answer is None:
            answer = Sample(
                problem_id=group.problem.id,
                index=0,
                greedy=False,
                correct=False,
                reason=str(Reason.NO_ANSWER),
                extracted=None,
                length=0,
                truncated=True,
                text="",
                selected=True,
            )
        samples.append(replace(answer, search_tokens=tokens))
    return samples


class Measured(Protocol):
    """What an evaluator needs of the method that it measures: see `method.Method`."""

    policy: Policy
    goals: Goals | None
    searching: Searching | None

    @property
    def tokens_per_microbatch(self) -> int: ...

    def policy_sampler(self, sampler: Sampler) -> Sampler: ...

    def sampler(self, sampler: Sampler) -> Sampler: ...


class GreedyEvaluator:
    """Greedy accuracy of a method's policy. Stores every answer."""

    def __init__(self, held_out: HeldOut, method: Measured) -> None:
        self.held_out, self.method = held_out, method

    def path(self, iteration: int) -> Path:
        """Where the answers after so many iterations are stored."""
        return self.held_out.folder / f"{iteration:06d}.parquet"

    def __call__(self, iteration: int) -> Evaluation:
        """Measures the method as it is after so many iterations."""
        samples = self.answers(iteration)
        write_samples(self.path(iteration), samples)
        return Evaluation(self.metrics(samples), [self._readable(s) for s in examples(samples)])

    def stored(self, iteration: int) -> list[Sample]:
        """The answers that were stored after so many iterations."""
        return read_samples(self.path(iteration))

    def sampled(self, samples: int) -> list[Group]:
        """`samples` answers to each problem at temperature 1."""
        return self.held_out.draw(self.method.sampler(self.held_out.sampler), samples, 1.0) if samples else []

    def negated(self) -> list[Sample]:
        """Greedy answers behind the negated goal, of a policy that is conditioned on goals."""
        method, goals = self.method, self.method.goals
        if goals is None:
            return []
        sampler = conditioned_sampler(self.held_out.sampler, method.policy, goals.negated())
        return records(self.held_out.draw(sampler, 1, 0.0), self.held_out.mdp, greedy=True)

    def summary(self, iterations: int) -> dict[str, Any]:
        """What a run of so many iterations has gained."""
        gain = self.gain(0, iterations)
        return {
            "before": self.accuracy(0),
            "after": self.accuracy(iterations),
            "gain": {"value": gain.value, "low": gain.low, "high": gain.high},
            "problems": gain.questions,
        }

    def answers(self, iteration: int) -> list[Sample]:
        """What is measured: one greedy answer to each problem."""
        sampler = self.method.policy_sampler(self.held_out.sampler)
        return records(self.held_out.draw(sampler, 1, 0.0), self.held_out.mdp, greedy=True)

    def metrics(self, samples: Sequence[Sample]) -> dict[str, float]:
        """The figures of the answers for the log."""
        figures = {**self.share(samples), "eval/truncated": sum(s.truncated for s in samples) / len(samples)}
        judged = [s.verdict_score for s in samples if s.verified and s.verdict_score is not None]
        if judged:
            figures["eval/score"] = fmean(judged)
        for name, value in means(s.metrics or {} for s in samples).items():
            figures[f"eval/metrics/{name}"] = value
        return figures

    def share(self, samples: Sequence[Sample]) -> dict[str, float]:
        """The share of hits over the questions that could be scored, with its 95 % interval.

        Raises `UserError` if none could be scored.
        """
        total = accuracy(samples, self.hit)
        outcomes = self._by_question(samples)
        mean = fmean(outcomes.values()) if outcomes else total.value  # which raises, with the reasons
        low, high = wilson(mean, len(outcomes))
        name = "eval/greedy_accuracy"
        unjudged = {f"eval/{key}": share for key, share in total.unjudged.items()}
        return {name: mean, f"{name}/low": low, f"{name}/high": high, **unjudged}

    def hit(self, sample: Sample) -> bool:
        """Whether a sample counts for the method."""
        return sample.correct

    def outcomes(self, iteration: int) -> dict[str, float]:
        """Question -> the share of hits after so many iterations; without those that could not be scored."""
        return self._by_question(self.stored(iteration))

    def accuracy(self, iteration: int) -> float:
        """The share of hits over the questions that could be scored after so many iterations."""
        return self.share(self.stored(iteration))["eval/greedy_accuracy"]

    def gain(self, first: int, last: int) -> Contrast:
        """The difference between two iterations, paired by the questions that could be scored after both of them.

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

    def _by_question(self, samples: Sequence[Sample]) -> dict[str, float]:
        answers: dict[str, list[Sample]] = {}
        for sample in samples:
            answers.setdefault(sample.problem_id, []).append(sample)
        shares = {}
        for problem, group in answers.items():
            share = accuracy(group, self.hit)
            if share.judged:
                shares[problem] = share.value
        problems = self.held_out.mdp.task.problems
        return by_question(shares, held_out_problems(problems[i] for i in self.held_out.problems))

    def _readable(self, sample: Sample) -> tuple[str, str, str]:
        """(question, response, verdict)."""
        problem = next(p for p in self.held_out.mdp.task.problems if p.id == sample.problem_id)
        verdict = f"{sample.reason}: found {sample.extracted!r}, gold {problem.answer!r}"
        return problem.question, sample.text, verdict


class ScoreEvaluator(GreedyEvaluator):
    """Whether a reward model's score at the end of sampled answers tells right ones from wrong ones.

    The policy stays as it is, so every evaluation is of the same answers.
    """

    def __init__(self, held_out: HeldOut, method: Measured, scorer: Scorer) -> None:
        super().__init__(held_out, method)
        self.scorer = scorer
        self._groups: list[Group] = []

    def answers(self, iteration: int) -> list[Sample]:
        if not self._groups:
            self._groups = super().sampled(self.held_out.samples)
        return records(
            self._groups,
            self.held_out.mdp,
            greedy=False,
            scorer=self.scorer,
            tokens_per_microbatch=self.method.tokens_per_microbatch,
        )

    def metrics(self, samples: Sequence[Sample]) -> dict[str, float]:
        area = area_under_curve(samples)
        return self.share(samples) | ({} if area is None else {"eval/auc": area})

    def hit(self, sample: Sample) -> bool:
        """Whether a score above 1/2 predicts the verdict."""
        return ((sample.score or 0.0) > 0.5) == sample.correct

    def sampled(self, samples: int) -> list[Group]:
        """None: the policy has not changed."""
        return []

    def negated(self) -> list[Sample]:
        """None: the policy has not changed."""
        return []

    def summary(self, iterations: int) -> dict[str, Any]:
        return {**super().summary(iterations), "auc": area_under_curve(self.stored(iterations))}


def area_under_curve(samples: Sequence[Sample]) -> float | None:
    """`auc` of the scores of the answers that could be verified."""
    verified = [sample for sample in samples if sample.verified]
    return auc([sample.score or 0.0 for sample in verified], [sample.correct for sample in verified])


def examples(samples: Sequence[Sample], count: int = 3) -> list[Sample]:
    """The first sample of each reason, then others, `count` in all: what a policy does well and how it fails."""
    first = {s.reason: s for s in reversed(samples)}
    chosen = [s for s in samples if first[s.reason] is s]
    return [*chosen, *(s for s in samples if s not in chosen)][:count]
