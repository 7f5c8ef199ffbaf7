"""Held-out evaluation: one greedy answer and K sampled ones for each problem, stored sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from reasonenv.core import Group
from reasonenv.evaluate.samples import Sample, write_samples
from reasonenv.learn.log import wilson
from reasonenv.learn.rollout import sample_groups
from reasonenv.learn.train import Evaluation
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.sampling.sampler import Sampler


def evaluate(
    sampler: Sampler,
    mdp: ReasoningMDP,
    problems: Sequence[int],
    *,
    samples: int,
    temperature: float,
    seed: int,
    progress: Callable[[int], None] = lambda finished: None,
) -> list[Sample]:
    """`samples` answers to each problem at `temperature`; temperature 0 and one sample are maj@1."""
    path = (seed, "evaluation")
    groups = sample_groups(sampler, mdp, problems, samples, temperature=temperature, seed=path, progress=progress)
    return records(groups, mdp, greedy=temperature == 0)


def records(groups: Sequence[Group], mdp: ReasoningMDP, *, greedy: bool) -> list[Sample]:
    """Trajectories as they are stored."""
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
        )
        for group in groups
        for index, t in enumerate(group.trajectories)
    ]


class HeldOut:
    """Greedy accuracy on the first `problems` of a held-out split, during training. Keeps every answer in `folder`."""

    def __init__(self, sampler: Sampler, mdp: ReasoningMDP, folder: Path, *, problems: int, seed: int) -> None:
        self._sampler, self._mdp, self._folder, self._seed = sampler, mdp, folder, seed
        self._problems = range(min(problems, len(mdp.task.problems)))

    def path(self, iteration: int) -> Path:
        """Where the answers after so many iterations are kept."""
        return self._folder / f"{iteration:06d}.jsonl"

    def __call__(self, iteration: int) -> Evaluation:
        found = evaluate(self._sampler, self._mdp, self._problems, samples=1, temperature=0.0, seed=self._seed)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_samples(self.path(iteration), found)
        right = sum(s.correct for s in found)
        low, high = wilson(right, len(found))
        metrics = {
            "eval/accuracy": right / len(found),
            "eval/accuracy/low": low,
            "eval/accuracy/high": high,
            "eval/truncated": sum(s.truncated for s in found) / len(found),
        }
        return Evaluation(metrics, [self._told(s) for s in examples(found)])

    def _told(self, sample: Sample) -> tuple[str, str, str]:
        problem = next(p for p in self._mdp.task.problems if p.id == sample.problem_id)
        verdict = f"{sample.reason}: found {sample.extracted!r}, gold {problem.answer!r}"
        return problem.question, sample.text, verdict


def examples(samples: Sequence[Sample], count: int = 3) -> list[Sample]:
    """The first sample of each reason, then others, `count` in all: what a policy does well and how it fails."""
    first = {s.reason: s for s in reversed(samples)}
    chosen = [s for s in samples if first[s.reason] is s]
    return [*chosen, *(s for s in samples if s not in chosen)][:count]
