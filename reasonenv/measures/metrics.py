"""What a set of samples says about a policy: one number a problem, then the mean over problems.

    greedy_accuracy  share of problems whose greedy answer is correct (maj@1 in arXiv 2403.04642)
    avg@n    share of the n sampled answers that are correct
    pass@k   chance that at least one of k sampled answers is correct
    pass^k   chance that all k sampled answers are correct
    maj@k    chance that the plurality answer among k sampled answers is correct

and, of samples that an outcome reward model has scored,

    rerank@k    chance that the best-scored of k samples is correct
    weighted@k  as maj@k, each sample voting with its score

Samples whose verdict is a failure of ours (`Sample.verified` is false) are neither right nor wrong: they leave the
numerator and the denominator, and "unverified" counts them. Estimates over samples are unbiased: none of them draws
samples with replacement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from reasonenv.core import ANSWERED
from reasonenv.errors import UserError
from reasonenv.measures.questions import Asked, by_question
from reasonenv.measures.samples import Sample
from reasonenv.seeding import generator
from reasonenv.stats import Estimate, accuracy, mean_interval

GREEDY = "greedy_accuracy"  # the name of this number in every file, table and log
EXACT_SUBSETS = 20_000  # all C(n, k) subsets are voted on up to here, which covers n = 16
RANDOM_SUBSETS = 4_000  # above, this many random ones; standard error <= 0.008 a problem, far less in the mean

Scores = Mapping[str, Mapping[str, float]]  # metric -> problem id -> value
Summary = Mapping[str, Estimate]


def pass_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n-c, k) / C(n, k) for `c` correct of `n` samples: Chen et al. 2021 (arXiv 2107.03374), equation 1.

    1 - (1 - c/n)^k would be biased low. Raises `UserError` unless 1 <= k <= n and 0 <= c <= n.
    """
    _check(n, k)
    if not 0 <= c <= n:
        raise UserError(f"{c} correct of {n} samples is impossible")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def all_at_k(n: int, c: int, k: int) -> float:
    """C(c, k) / C(n, k): the chance that `k` of the n samples are all correct, pass^k (Yao et al. 2024, 2406.12045).

    Raises `UserError` unless 1 <= k <= n and 0 <= c <= n.
    """
    return 1.0 - pass_at_k(n, n - c, k)


def maj_at_k(answers: Sequence[Hashable | None], correct: Sequence[bool], k: int) -> float:
    """Chance that the plurality of `k` of the n answers is correct; `answers` are canonical forms.

    None does not vote. Tied answers share the credit, 1/#tied each; if nobody votes, nothing is earned. Exact for k = n
    and wherever there are at most `EXACT_SUBSETS` subsets, else the mean over `RANDOM_SUBSETS` fixed random ones. Equal
    answers with different verdicts earn their mean. Raises `UserError` unless 1 <= k <= n.
    """
    assert len(correct) == len(answers), "one verdict an answer"
    _check(len(answers), k)
    flags: dict[Hashable, list[bool]] = {}
    for answer, flag in zip(answers, correct, strict=True):
        if answer is not None:
            flags.setdefault(answer, []).append(flag)
    return _plurality(len(answers), k, tuple(sorted((len(each), sum(each)) for each in flags.values())))


def rerank_at_k(scores: Sequence[float], correct: Sequence[bool], k: int) -> float:
    """Chance that the best-scored of `k` of the n samples is correct (2110.14168), exact.

    With b samples scored below s and m at s, the best of k has score s for C(b+m, k) - C(b, k) of the C(n, k) subsets.
    Equal scores share the credit. Raises `UserError` unless 1 <= k <= n.
    """
    assert len(correct) == len(scores), "one verdict a score"
    _check(n := len(scores), k)
    total, below = Fraction(0), 0
    for score in sorted(set(scores)):
        flags = [flag for own, flag in zip(scores, correct, strict=True) if own == score]
        subsets = math.comb(below + len(flags), k) - math.comb(below, k)
        total += subsets * Fraction(sum(flags), len(flags))
        below += len(flags)
    return float(total / math.comb(n, k))


def weighted_at_k(
    answers: Sequence[Hashable | None], scores: Sequence[float], correct: Sequence[bool], k: int
) -> float:
    """Chance that the answer with the largest sum of scores among `k` of the n samples is correct (2206.02336).

    As `maj_at_k` in all else; with equal scores it is `maj_at_k`.
    """
    assert len(correct) == len(answers) == len(scores), "one verdict and one score an answer"
    _check(len(answers), k)
    known = sorted({answer for answer in answers if answer is not None}, key=repr)
    if not known:
        return 0.0
    ballots = np.array([[s * (a == b) for b in known] for a, s in zip(answers, scores, strict=True)])  # [n, answers]
    shares = [np.mean([flag for a, flag in zip(answers, correct, strict=True) if a == b]) for b in known]
    return _credit(_subsets(len(answers), k) @ ballots, np.array(shares))


def _credit(votes: npt.NDArray[Any], shares: npt.NDArray[Any]) -> float:
    """Mean over the rows of `votes` [subsets, answers] of the winner's share of correct verdicts [answers]."""
    best = votes.max(axis=1, keepdims=True)
    winners = (votes >= best * (1 - 1e-6)) & (best > 0)  # sums of scores are equal but for rounding
    return float((winners @ shares / np.maximum(winners.sum(axis=1), 1)).mean())


def auc(scores: Sequence[float], correct: Sequence[bool]) -> float | None:
    """Chance that a right sample is scored above a wrong one, ties counting half; None without one of each.

    The Mann-Whitney statistic over #right * #wrong.
    """
    right = np.array([s for s, flag in zip(scores, correct, strict=True) if flag])
    wrong = np.sort([s for s, flag in zip(scores, correct, strict=True) if not flag])
    if not len(right) or not len(wrong):
        return None
    below, above = (np.searchsorted(wrong, right, side=side).sum() for side in ("left", "right"))
    return float((below + above) / 2 / (len(right) * len(wrong)))


@lru_cache(maxsize=100_000)  # few histograms occur among many problems, and the order of samples must not matter
def _plurality(n: int, k: int, answers: tuple[tuple[int, int], ...]) -> float:
    """`maj_at_k` of a histogram: (votes, of these correct) of each answer; those of the n who are left do not vote."""
    if not answers:
        return 0.0
    count, right = np.array(answers).T  # [answers]
    ballots = np.zeros((n, len(count)), dtype=np.float32)  # [n, answers]
    ballots[np.arange(count.sum()), np.repeat(np.arange(len(count)), count)] = 1.0
    return _credit(_subsets(n, k) @ ballots, right / count)


@lru_cache(maxsize=32)
def _subsets(n: int, k: int) -> npt.NDArray[np.float32]:
    """k-subsets of n samples as rows of ones and zeros, all of them or a fixed random lot.  # [subsets, n]"""
    if math.comb(n, k) <= EXACT_SUBSETS:
        chosen = np.array(list(combinations(range(n), k)))
    else:
        chosen = generator("maj@k", n, k).random((RANDOM_SUBSETS, n)).argsort(axis=1)[:, :k]
    members = np.zeros((len(chosen), n), dtype=np.float32)
    np.put_along_axis(members, chosen, 1.0, axis=1)
    return members


@dataclass(frozen=True)
class _Answers:
    """All samples of one problem."""

    greedy: list[Sample]
    drawn: list[Sample]

    @property
    def all(self) -> list[Sample]:
        return self.greedy + self.drawn


def scores(samples: Iterable[Sample], ks: Sequence[int]) -> Scores:
    """Every metric of every problem. A problem with too few verified samples for a metric is absent from that metric.

    `maj@k` is given for k > 1 only, and so are `rerank@k` and `weighted@k`, where samples
    bear scores; of one sample they are avg. Raises `UserError` for no samples, a sample that is
    stored twice, or a k above the samples a problem.
    """
    problems = _by_problem(samples)
    most = max(len(answers.drawn) for answers in problems.values())
    for k in ks:
        _check(most, k)
    measures: dict[str, Callable[[_Answers], float | None]] = {GREEDY: lambda a: _share(a.greedy, _correct)}
    if most:
        measures[f"avg@{most}"] = lambda a: _share(a.drawn, _correct)
    measures |= {f"maj@{k}": partial(_maj, k=k) for k in sorted({*ks} - {1})}
    if any(sample.score is not None for answers in problems.values() for sample in answers.drawn):
        measures |= {f"rerank@{k}": partial(_rerank, k=k) for k in sorted({*ks} - {1})}
        measures |= {f"weighted@{k}": partial(_weighted, k=k) for k in sorted({*ks} - {1})}
    measures |= {f"pass@{k}": partial(_pass, k=k) for k in sorted({*ks})}
    measures |= {f"pass^{k}": partial(_all, k=k) for k in sorted({*ks} - {1})}
    measures["answered"] = lambda a: _share(a.all, _answered)
    measures["truncated"] = lambda a: float(np.mean([s.truncated for s in a.all]))
    measures["unverified"] = lambda a: float(np.mean([not s.verified for s in a.all]))
    table: dict[str, dict[str, float]] = {}
    for metric, measure in measures.items():
        found = {name: measure(answers) for name, answers in problems.items()}
        kept = {name: value for name, value in found.items() if value is not None}
        if kept:
            table[metric] = kept
    return table


def summarise(samples: Iterable[Sample], ks: Sequence[int], asked: Mapping[str, Asked] | None = None) -> Summary:
    """The mean over questions of every metric of `scores`, each with its 95 % interval.

    `asked` tells what each problem asks; without it every problem is a question of its own.
    """
    table = {metric: by_question(values, asked or {}) for metric, values in scores(samples, ks).items()}
    return {metric: mean_interval(list(values.values())) for metric, values in table.items()}


def _by_problem(samples: Iterable[Sample]) -> dict[str, _Answers]:
    problems: dict[str, _Answers] = {}
    seen: set[tuple[str, int, bool]] = set()
    for sample in samples:
        key = (sample.problem_id, sample.index, sample.greedy)
        if key in seen:
            raise UserError(f"sample {sample.index} of problem {sample.problem_id!r} is stored twice; evaluate again")
        seen.add(key)
        answers = problems.setdefault(sample.problem_id, _Answers([], []))
        (answers.greedy if sample.greedy else answers.drawn).append(sample)
    if not problems:
        raise UserError("no samples to summarise; evaluate at least one problem")
    return problems


def _check(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise UserError(f"k is {k} but there are {n} samples a problem; k must be at least 1 and at most the samples")


def _share(samples: list[Sample], true: Callable[[Sample], bool]) -> float | None:
    share = accuracy(samples, true)
    return share.value if share.judged else None


def _correct(sample: Sample) -> bool:
    return sample.correct


def _answered(sample: Sample) -> bool:
    return sample.reason in ANSWERED


def _pass(answers: _Answers, k: int) -> float | None:
    flags = [sample.correct for sample in answers.drawn if sample.verified]
    return pass_at_k(len(flags), sum(flags), k) if len(flags) >= k else None


def _all(answers: _Answers, k: int) -> float | None:
    flags = [sample.correct for sample in answers.drawn if sample.verified]
    return all_at_k(len(flags), sum(flags), k) if len(flags) >= k else None


def _maj(answers: _Answers, k: int) -> float | None:
    verified = [sample for sample in answers.drawn if sample.verified]
    if len(verified) < k:
        return None
    return maj_at_k([_vote(sample) for sample in verified], [sample.correct for sample in verified], k)


def _vote(sample: Sample) -> str | None:
    return sample.canonical if _answered(sample) else None


def _scored(answers: _Answers) -> tuple[list[Sample], list[float]]:
    """The verified samples that bear a score, and these."""
    pairs = [(sample, sample.score) for sample in answers.drawn if sample.verified]
    kept = [(sample, score) for sample, score in pairs if score is not None]
    return [sample for sample, _ in kept], [score for _, score in kept]


def _rerank(answers: _Answers, k: int) -> float | None:
    samples, given = _scored(answers)
    return rerank_at_k(given, [sample.correct for sample in samples], k) if len(samples) >= k else None


def _weighted(answers: _Answers, k: int) -> float | None:
    samples, given = _scored(answers)
    if len(samples) < k:
        return None
    return weighted_at_k([_vote(sample) for sample in samples], given, [sample.correct for sample in samples], k)
