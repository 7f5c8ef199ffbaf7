"""How different the answers of one policy to one problem are. Each measure is of the texts of one problem.

They measure form: two wordings of one idea count as two, so compare policies on the same problems at equal counts and,
as accuracy alone makes wrong answers rarer, on the correct samples apart from all of them. A correct answer to which a
false step has led (8-3=6 and then 6-4=1) is no other solution but another error: `correct` samples are those without
one. Pairwise measures lie in [0, 1], 0 for copies; as means over pairs they are of two samples however many there are.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from reasonenv.core import IntArray
from reasonenv.errors import UserError
from reasonenv.measures.edit_distance import edit_distances
from reasonenv.measures.metrics import Scores
from reasonenv.measures.samples import Sample, Samples
from reasonenv.verify.solution_path import operations, steps_hold

Path = tuple[str, ...]  # as `operations` reads it from a text

COMPARED = 16  # samples of a problem among which letters are compared: enough, and still unbiased
MEASURES = (  # in the order of a table
    *("paths/all", "equations/all", "edits/all", "answers", "bigrams"),
    *("true_steps", "paths/correct", "equations/correct", "edits/correct"),
)


def diversity(samples: Samples | Iterable[Sample]) -> Scores:
    """Every measure of every problem in [0, 1], over its sampled answers: metric -> problem id -> value.

    `paths`, `equations`, `edits`: how different two samples are, on average, in their arithmetic as a whole, in their
    equations, in their letters; among all samples and, where there are two, among the correct ones. `answers`: the
    entropy of final answers over its maximum, log n. `bigrams`: distinct-2. `true_steps`: of the correct answers with
    written equations, the share whose equations are all true. Absent where there are too few samples.
    """
    table: dict[str, dict[str, float]] = defaultdict(dict)
    several = []
    for answers in _answers(Samples.of(samples)):
        if answers.checked:
            table["true_steps"][answers.problem] = sum(answers.checked) / len(answers.checked)
        if len(answers.texts) < 2:
            continue
        several.append(answers)
        table["answers"][answers.problem] = answer_entropy(answers.forms) / math.log(len(answers.forms))
        table["bigrams"][answers.problem] = distinct_bigrams(answers.texts)
        for which, texts in (("all", answers.texts), ("correct", answers.correct)):
            if len(texts) > 1:
                paths = solution_paths(texts)
                table[f"paths/{which}"][answers.problem] = expected_distinct(paths, len(texts), 2) - 1
                table[f"equations/{which}"][answers.problem] = equation_distance(paths)
    edits = mean_edit_distances([(answers.texts[:COMPARED], answers.correct[:COMPARED]) for answers in several])
    for answers, among_all, among_correct in zip(several, *edits, strict=True):
        table["edits/all"][answers.problem] = among_all
        if len(answers.correct) > 1:
            table["edits/correct"][answers.problem] = among_correct
    return {name: table[name] for name in MEASURES if name in table}


def distinct(samples: Samples | Iterable[Sample], ks: Sequence[int]) -> Scores:
    """`all@k` and `correct@k` of every problem: different solution paths expected among k of its sampled answers.

    Of `correct@k` only correct answers without a false step count, of k samples as they come; 2403.04642 tells
    exploration by these curves.
    """
    table: dict[str, dict[str, float]] = defaultdict(dict)
    for answers in _answers(Samples.of(samples)):
        n, paths, correct = len(answers.texts), solution_paths(answers.texts), solution_paths(answers.correct)
        for k in ks:
            if 1 < k <= n:  # of one sample there is one
                table[f"all@{k}"][answers.problem] = expected_distinct(paths, n, k)
            if k <= n:
                table[f"correct@{k}"][answers.problem] = expected_distinct(correct, n, k)
    return table


@dataclass(frozen=True)
class _Answers:
    """The sampled answers to one problem."""

    problem: str
    forms: list[int]  # which canonical form each one has
    texts: list[str]
    correct: list[str]  # the texts of the correct ones without a false step
    checked: list[bool]  # of the correct ones with equations: whether all of these hold


def _answers(samples: Samples) -> Iterator[_Answers]:
    texts = samples.texts()
    for number, rows in samples.by_problem(samples.sampled):
        answers = _Answers(samples.problems[number], samples.form[rows].tolist(), [], [], [])
        for row, correct in zip(rows.tolist(), samples.correct[rows].tolist(), strict=True):
            answers.texts.append(texts[row])
            if correct:
                holds = steps_hold(texts[row])
                if holds is not None:
                    answers.checked.append(holds)
                if holds is not False:
                    answers.correct.append(texts[row])
        yield answers


def drift(samples: Samples | Iterable[Sample]) -> Scores:
    """Of every problem `entropy` and `kl`, nats per token, estimated from its sampled answers.

    The mean of -log pi(y) and, where the initial policy pi_0 has scored the samples, of log pi(y) - log pi_0(y), over
    the mean length: unbiased of numerator and denominator. An estimate of KL(pi || pi_0) may be negative.
    """
    samples = Samples.of(samples)
    table = {}
    for name, values in (("entropy", -samples.logp), ("kl", samples.logp - samples.initial_logp)):
        rows = samples.sampled & ~np.isnan(values)
        total = np.bincount(samples.problem[rows], values[rows], len(samples.problems))
        tokens = np.bincount(samples.problem[rows], samples.length[rows], len(samples.problems))
        present = np.flatnonzero(samples.count(rows)).tolist()
        if present:
            table[name] = {samples.problems[p]: float(total[p] / tokens[p]) for p in present}
    return table


def solution_paths(texts: Iterable[str]) -> Counter[Path]:
    """The different sequences of arithmetic operations, and how often each occurs."""
    return Counter(operations(text) for text in texts)


def expected_distinct(counts: Counter[Any], n: int, k: int) -> float:
    """Expected number of different items among `k` of n: rarefaction, sum_j 1 - C(n - n_j, k) / C(n, k).

    What else is among the n than the items in `counts` is not counted. Of `solution_paths`, these are the distinct
    solution paths of 2403.04642. Raises `UserError` unless 1 <= k <= n.
    """
    if not 1 <= k <= n:
        raise UserError(f"k is {k} but there are {n} samples; k must be at least 1 and at most the samples")
    subsets = math.comb(n, k)
    return sum(1 - math.comb(n - count, k) / subsets for count in counts.values())


def equation_distance(paths: Counter[Path]) -> float:
    """Mean over pairs of 1 - |E_i and E_j| / |E_i or E_j|, E the set of equations of a text (Jaccard).

    It is 0 between copies, which are frequent, so each set is taken once.
    """
    counts = Counter[frozenset[str]]()
    for path, count in paths.items():
        counts[frozenset(path)] += count
    total = 0.0
    for (a, n), (b, m) in combinations(counts.items(), 2):
        total += n * m * (1 - len(a & b) / len(a | b))
    return total / max(math.comb(paths.total(), 2), 1)


def mean_edit_distances(groups: Sequence[tuple[Sequence[str], Sequence[str]]]) -> tuple[list[float], list[float]]:
    """Of each group of texts, and of some of its texts beside them, the mean over pairs of the edit distance.

    The distance is Levenshtein's, divided by the longer length. Copies, which are frequent, are taken once, and so is a
    pair that is on both sides.
    """
    if not groups:
        return [], []
    texts, copies = list[str](), list[tuple[int, int]]()
    firsts, seconds, group_of, pairs = [], [], [], []
    for number, (whole, part) in enumerate(groups):
        in_whole, in_part = Counter(whole), Counter(part)
        different = dict.fromkeys((*whole, *part))
        first, second = _all_pairs(len(different))
        firsts.append(first + len(texts))
        seconds.append(second + len(texts))
        group_of.append(np.full(len(first), number))
        pairs.append((max(math.comb(len(whole), 2), 1), max(math.comb(len(part), 2), 1)))
        texts += different
        copies += [(in_whole.get(text, 0), in_part.get(text, 0)) for text in different]
    counts = np.array(copies, dtype=np.int64).reshape(-1, 2)
    lengths = np.array([max(len(text), 1) for text in texts], dtype=np.int64)
    first, second, group = np.concatenate(firsts), np.concatenate(seconds), np.concatenate(group_of)
    times = counts[first] * counts[second]  # [pairs, 2]
    distances = edit_distances(texts, first, second) / np.maximum(lengths[first], lengths[second])
    means = []
    for side in (0, 1):
        means.append(np.bincount(group, times[:, side] * distances, len(groups)) / np.array(pairs)[:, side])
    return means[0].tolist(), means[1].tolist()


@lru_cache(maxsize=2 * COMPARED)
def _all_pairs(n: int) -> tuple[IntArray, IntArray]:
    """The places i < j among n."""
    return np.triu_indices(n, 1)


def distinct_bigrams(texts: Iterable[str]) -> float:
    """Different pairs of words over all pairs, distinct-2 (Li et al. 2016, arXiv 1510.03055); 0 without any."""
    different, total = set[tuple[str, str]](), 0
    for text in texts:
        words = text.split()
        different.update(pairwise(words))
        total += max(len(words) - 1, 0)
    return len(different) / max(total, 1)


def answer_entropy(answers: Sequence[Hashable | None]) -> float:
    """Entropy in nats of the histogram of final answers; what stands for no answer is one of its bins."""
    counts = Counter(answers).values()
    total = sum(counts)
    return sum(-c / total * math.log(c / total) for c in counts)
