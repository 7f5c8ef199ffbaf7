"""What a set of samples says about a policy: one number a problem, then the mean over problems.

    greedy_accuracy  share of problems whose greedy answer is correct (maj@1 in arXiv 2403.04642)
    search_accuracy  share of correct answers among those that a search selected, which count in no other metric
    avg@n    share of the n sampled answers that are correct
    pass@k   chance that at least one of k sampled answers is correct
    pass^k   chance that all k sampled answers are correct
    maj@k    chance that the plurality answer among k sampled answers is correct
    score    mean score of the greedy answers: 1 for a correct one, partial credit where the verifier gives it
    score@n  mean score of the n sampled answers

and, of samples that an outcome reward model has scored,

    rerank@k    chance that the best-scored of k samples is correct
    weighted@k  as maj@k, each sample voting with its score

Samples that were not judged (`Sample.verified` is false) are neither right nor wrong: they leave the numerator and the
denominator. "unverified" counts those whose verifier broke, "hard_to_verify" those of problems whose reference answer
cannot be read or on which verification times out. Estimates over samples are unbiased: none of them draws
samples with replacement.

A metric is one function in `METRICS`, from the `Samples` of a policy to a value in [0, 1] of each problem [P], nan
where it has none. If its name ends in `@k` or `^k`, it takes a k as well; `@n` in a name stands for the number of
sampled answers. What a task measures itself (`Task.metrics`) is a column of its name, and one of its name with `@n`. A
registered function is a metric of every table:

    METRICS.register("short", lambda samples: samples.share(samples.length < 100, samples.greedy))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from itertools import combinations, compress
from typing import Any

import numpy as np
import numpy.typing as npt

from reasonenv.errors import UserError
from reasonenv.measures.questions import HeldOutProblem, by_question
from reasonenv.measures.samples import Sample, Samples
from reasonenv.registry import Registry
from reasonenv.seeding import generator
from reasonenv.stats import Estimate, Floats, mean_interval

GREEDY = "greedy_accuracy"  # the name of this number in every file, table and log
SCORE = "score"
SEARCHED = "search_accuracy"
EXACT_SUBSETS = 20_000  # all C(n, k) subsets are voted on up to here, which covers n = 16
RANDOM_SUBSETS = 4_000  # above, this many random ones; standard error <= 0.008 a problem, far less in the mean

Scores = Mapping[str, Mapping[str, float]]  # metric -> problem id -> value
Summary = Mapping[str, Estimate]
Metric = Callable[..., Floats]  # (samples) or (samples, k) -> a value of each problem [P]


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
    _, place = np.unique(scores, return_inverse=True)
    sizes, hits = np.bincount(place), np.bincount(place, weights=np.asarray(correct, dtype=float)).astype(int)
    total, below = Fraction(0), 0
    for size, right in zip(sizes.tolist(), hits.tolist(), strict=True):
        subsets = math.comb(below + size, k) - math.comb(below, k)
        total += subsets * Fraction(right, size)
        below += size
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
    ballots = np.zeros((len(answers), len(known)))
    votes, hits = np.zeros(len(known)), np.zeros(len(known))
    for row, answer in enumerate(answers):
        if answer is not None:
            column = known.index(answer)
            ballots[row, column] = scores[row]
            votes[column] += 1
            hits[column] += correct[row]
    return _credit(_subsets(len(answers), k) @ ballots, hits / votes)


def _credit(votes: npt.NDArray[Any], shares: npt.NDArray[Any]) -> float:
    """Mean over the rows of `votes` [subsets, answers] of the winner's share of correct verdicts [answers]."""
    best = votes.max(axis=1, keepdims=True)
    winners = (votes >= best * (1 - 1e-6)) & (best > 0)  # sums of scores are equal but for rounding
    return float((winners @ shares / np.maximum(winners.sum(axis=1), 1)).mean())


def auc(scores: Sequence[float], correct: Sequence[bool]) -> float | None:
    """Chance that a right sample is scored above a wrong one, ties counting half; None without one of each.

    The Mann-Whitney statistic over #right * #wrong.
    """
    values, flags = np.asarray(scores, dtype=float), np.asarray(correct, dtype=bool)
    right, wrong = values[flags], np.sort(values[~flags])
    if not len(right) or not len(wrong):
        return None
    below, above = np.searchsorted(wrong, right, side="left").sum(), np.searchsorted(wrong, right, side="right").sum()
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


def greedy_accuracy(samples: Samples) -> Floats:
    """Share of correct greedy answers."""
    return samples.share(samples.correct, samples.greedy & samples.verified)


def average(samples: Samples) -> Floats:
    """Share of correct sampled answers."""
    return samples.share(samples.correct, samples.sampled & samples.verified)


def of_counts(estimator: Callable[[int, int, int], float], samples: Samples, k: int) -> Floats:
    """`estimator` of n verified sampled answers, c correct ones and k, where n >= k.  # [P]"""
    drawn = samples.sampled & samples.verified
    total, right = samples.count(drawn), samples.count(drawn & samples.correct)
    values = np.full(len(total), np.nan)
    for problem in np.flatnonzero(total >= k):
        values[problem] = estimator(int(total[problem]), int(right[problem]), k)
    return values


def majority(samples: Samples, k: int) -> Floats:
    """`maj_at_k` of the verified sampled answers; one that could not be read does not vote."""
    drawn = samples.sampled & samples.verified
    counts = samples.count(drawn)
    votes = np.flatnonzero(drawn & (samples.vote >= 0))
    keys = samples.problem[votes] * (samples.vote.max(initial=0) + 1) + samples.vote[votes]
    _, first, answer, sizes = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    right = np.bincount(answer, weights=samples.correct[votes], minlength=len(sizes)).astype(np.int64)
    histograms: list[list[tuple[int, int]]] = [[] for _ in samples.problems]
    for problem, size, hits in zip(samples.problem[votes[first]].tolist(), sizes.tolist(), right.tolist(), strict=True):
        histograms[problem].append((size, hits))
    values = np.full(len(counts), np.nan)
    for problem in np.flatnonzero(counts >= k):
        values[problem] = _plurality(int(counts[problem]), k, tuple(sorted(histograms[problem])))
    return values


def rerank(samples: Samples, k: int) -> Floats:
    """`rerank_at_k` of the verified sampled answers that bear a score."""
    values = np.full(len(samples.problems), np.nan)
    for problem, _, scored, correct in _scored(samples, k):
        values[problem] = rerank_at_k(scored, correct, k)
    return values


def weighted(samples: Samples, k: int) -> Floats:
    """`weighted_at_k` of the verified sampled answers that bear a score."""
    values = np.full(len(samples.problems), np.nan)
    for problem, answers, scored, correct in _scored(samples, k):
        values[problem] = weighted_at_k(answers, scored, correct, k)
    return values


def _scored(samples: Samples, k: int) -> Iterator[tuple[int, list[str | None], list[float], list[bool]]]:
    """Problems with k verified sampled answers that bear a score: their forms, scores and verdicts."""
    forms = np.array([*samples.forms, None], dtype=object)
    for problem, rows in samples.by_problem(samples.sampled & samples.verified & ~np.isnan(samples.score)):
        if len(rows) >= k:
            votes = forms[samples.vote[rows]].tolist()  # place -1 is None
            yield problem, votes, samples.score[rows].tolist(), samples.correct[rows].tolist()


def search_accuracy(samples: Samples) -> Floats:
    """Share of correct answers among those that a search selected."""
    return samples.share(samples.correct, samples.selected & samples.verified)


def answered(samples: Samples) -> Floats:
    """Share of the answers that could be compared with the reference answer."""
    return samples.share(samples.answered, samples.verified & ~samples.selected)


def truncated(samples: Samples) -> Floats:
    """Share of the answers that were cut off at the token budget."""
    return samples.share(samples.truncated, ~samples.selected)


def unverified(samples: Samples) -> Floats:
    """Share of the answers on which the verifier broke."""
    return samples.share(~samples.verified & ~samples.hard_to_verify, ~samples.selected)


def hard_to_verify(samples: Samples) -> Floats:
    """Share of the answers that were not judged because of their problem."""
    return samples.share(samples.hard_to_verify, ~samples.selected)


def greedy_score(samples: Samples) -> Floats:
    """Mean score of the greedy answers."""
    return samples.mean(samples.verdict_score, samples.greedy & samples.verified)


def average_score(samples: Samples) -> Floats:
    """Mean score of the sampled answers."""
    return samples.mean(samples.verdict_score, samples.sampled & samples.verified)


BUILTIN: Mapping[str, str | Metric] = {  # in the order of a table
    GREEDY: greedy_accuracy,
    SEARCHED: search_accuracy,
    "avg@n": average,
    "maj@k": majority,
    "rerank@k": rerank,
    "weighted@k": weighted,
    "pass@k": partial(of_counts, pass_at_k),
    "pass^k": partial(of_counts, all_at_k),
    "answered": answered,
    "truncated": truncated,
    "unverified": unverified,
    "hard_to_verify": hard_to_verify,
    SCORE: greedy_score,
    f"{SCORE}@n": average_score,
}
METRICS = Registry[Metric]("metric", "reasonenv.metrics", BUILTIN)
OF_ONE = "pass@k"  # the only one that is given for k = 1, where the others of k samples are avg@n


def scores(samples: Samples | Iterable[Sample], ks: Sequence[int]) -> Scores:
    """Every metric of every problem. A problem with too few verified samples for a metric is absent from that metric.

    `maj@k` is given for k > 1 only, and so are `rerank@k` and `weighted@k`, where samples bear scores; of one sample
    they are avg. Raises `UserError` for no samples, a sample that is stored twice, a k above the samples a problem, or
    a value outside [0, 1].
    """
    samples = Samples.of(samples)
    _check_complete(samples)
    for k in ks:
        _check(samples.drawn, k)
    table: dict[str, Mapping[str, float]] = {}
    for name in (*METRICS, *samples.metrics):
        for column, values in _columns(name, samples, ks):
            present = ~np.isnan(values)
            if not ((values >= 0) & (values <= 1) | ~present).all():
                worst = values[np.nanargmax(np.abs(values - 0.5))]
                raise UserError(f"metric {column!r} is {worst:g} of a problem; it must be in [0, 1]")
            if present.any():
                named = zip(compress(samples.problems, present), values[present].tolist(), strict=True)
                table[column] = dict(named)
    return table


def _columns(name: str, samples: Samples, ks: Sequence[int]) -> Iterator[tuple[str, Floats]]:
    """The columns of the metric called `name`, one for each k if it takes one, with their values [P]."""
    if name not in METRICS:  # a metric of the task: of greedy answers, and of sampled ones
        values = samples.metrics[name]
        known = ~np.isnan(values)
        yield name, samples.mean(values, samples.greedy & known)
        yield f"{name}@{samples.drawn}", samples.mean(values, ~samples.greedy & known)
    elif name.endswith(("@k", "^k")):
        for k in sorted({*ks}):
            if k > 1 or name == OF_ONE:
                yield f"{name[:-1]}{k}", _measured(name, samples, k)
    elif not name.endswith("@n"):
        yield name, _measured(name, samples)
    elif samples.drawn:
        yield f"{name[:-1]}{samples.drawn}", _measured(name, samples)


def _measured(name: str, samples: Samples, *k: int) -> Floats:
    """The values of a metric [P]. Raises `UserError` that names a user's one if it fails or gives anything else."""
    values = np.asarray(METRICS.call(name, samples, *k), dtype=np.float64)
    problems = len(samples.problems)
    if values.shape != (problems,):
        raise UserError(f"metric {name!r} has the shape {values.shape}; it must be ({problems},), a value a problem")
    return values


def summarise(
    samples: Samples | Iterable[Sample], ks: Sequence[int], problems: Mapping[str, HeldOutProblem] | None = None
) -> Summary:
    """The mean over questions of every metric of `scores`, each with its 95 % interval.

    `problems` tells what each problem asks; without it every problem is a question of its own.
    """
    summary = {}
    for metric, values in scores(samples, ks).items():
        summary[metric] = mean_interval(list(by_question(values, problems or {}).values()))
    return summary


def _check_complete(samples: Samples) -> None:
    if not len(samples):
        raise UserError("no samples to summarise; evaluate at least one problem")
    kind = samples.greedy + 2 * samples.selected
    place = (samples.problem * 4 + kind) * (samples.index.max() + 1) + samples.index
    _, first = np.unique(place, return_index=True)
    if len(first) < len(place):
        row = int(np.setdiff1d(np.arange(len(place)), first)[0])
        problem = samples.problems[samples.problem[row]]
        raise UserError(f"sample {samples.index[row]} of problem {problem!r} is stored twice; evaluate again")


def _check(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise UserError(f"k is {k} but there are {n} samples a problem; k must be at least 1 and at most the samples")
