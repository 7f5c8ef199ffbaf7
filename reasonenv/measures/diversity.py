"""How different the answers of one policy to one problem are. Each measure is of the texts of one problem.

They measure form: two wordings of one idea count as two, so compare policies on the same problems at equal counts and,
as accuracy alone makes wrong answers rarer, on the correct samples apart from all of them. A correct answer to which a
false step has led (8-3=6 and then 6-4=1) is no other solution but another error: `correct` samples are those without
one. Pairwise measures lie in [0, 1], 0 for copies; as means over pairs they are of two samples however many there are.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from reasonenv.errors import UserError
from reasonenv.measures.edit_distance import edit_distances
from reasonenv.measures.metrics import Scores
from reasonenv.measures.samples import Sample, Samples
from reasonenv.verify.solution_path import operations, steps_hold

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
    samples = Samples.of(samples)
    written = np.array([*samples.texts(), None], dtype=object)[:-1]
    table: dict[str, dict[str, float]] = defaultdict(dict)
    texts: dict[str, dict[str, list[str]]] = {"all": {}, "correct": {}}  # problem -> texts, where there are two
    for number, rows in samples.by_problem(~samples.greedy):
        problem = samples.problems[number]
        checked, sound = _checked(written[rows[samples.correct[rows]]])
        if checked:
            table["true_steps"][problem] = sum(checked) / len(checked)
        if len(rows) > 1:
            texts["all"][problem] = written[rows].tolist()
            table["answers"][problem] = answer_entropy(samples.form[rows].tolist()) / math.log(len(rows))
            table["bigrams"][problem] = distinct_n(texts["all"][problem])
        if len(sound) > 1:
            texts["correct"][problem] = sound
    for which, groups in texts.items():
        table[f"paths/{which}"] = {problem: path_distance(each) for problem, each in groups.items()}
        table[f"equations/{which}"] = {problem: equation_distance(each) for problem, each in groups.items()}
        edits = _edit_distances([each[:COMPARED] for each in groups.values()])
        table[f"edits/{which}"] = dict(zip(groups, edits, strict=True))
    return {name: table[name] for name in MEASURES if table.get(name)}


def _checked(texts: Iterable[str]) -> tuple[list[bool], list[str]]:
    """Of correct answers: whether the steps of each one with equations hold, and those without a false step."""
    checked, sound = [], []
    for text in texts:
        holds = steps_hold(text)
        if holds is not None:
            checked.append(holds)
        if holds is not False:
            sound.append(text)
    return checked, sound


def distinct(samples: Samples | Iterable[Sample], ks: Sequence[int]) -> Scores:
    """`all@k` and `correct@k` of every problem: different solution paths expected among k of its sampled answers.

    Of `correct@k` only correct answers without a false step count, of k samples as they come; 2403.04642 tells
    exploration by these curves.
    """
    samples = Samples.of(samples)
    written = np.array([*samples.texts(), None], dtype=object)[:-1]
    table: dict[str, dict[str, float]] = {}
    for number, rows in samples.by_problem(~samples.greedy):
        _, sound = _checked(written[rows[samples.correct[rows]]])
        paths, correct = Counter(map(operations, written[rows])), Counter(map(operations, sound))
        for k in ks:
            if 1 < k <= len(rows):  # of one sample there is one
                table.setdefault(f"all@{k}", {})[samples.problems[number]] = _rarefied(paths, len(rows), k)
            if k <= len(rows):
                table.setdefault(f"correct@{k}", {})[samples.problems[number]] = _rarefied(correct, len(rows), k)
    return table


def drift(samples: Samples | Iterable[Sample]) -> Scores:
    """Of every problem `entropy` and `kl`, nats per token, estimated from its sampled answers.

    The mean of -log pi(y) and, where the initial policy pi_0 has scored the samples, of log pi(y) - log pi_0(y), over
    the mean length: unbiased of numerator and denominator. An estimate of KL(pi || pi_0) may be negative.
    """
    samples = Samples.of(samples)
    table = {}
    for name, values in (("entropy", -samples.logp), ("kl", samples.logp - samples.initial_logp)):
        rows = ~samples.greedy & ~np.isnan(values)
        total = np.bincount(samples.problem[rows], values[rows], len(samples.problems))
        tokens = np.bincount(samples.problem[rows], samples.length[rows], len(samples.problems))
        present = np.flatnonzero(samples.count(rows)).tolist()
        if present:
            table[name] = {samples.problems[p]: float(total[p] / tokens[p]) for p in present}
    return table


def expected_distinct(items: Sequence[Hashable], k: int) -> float:
    """Expected number of different items among `k` of n: rarefaction, sum_j 1 - C(n - n_j, k) / C(n, k).

    Of `operations`, these are the distinct solution paths of 2403.04642. Raises `UserError` unless 1 <= k <= n.
    """
    if not 1 <= k <= len(items):
        raise UserError(f"k is {k} but there are {len(items)} samples; k must be at least 1 and at most the samples")
    return _rarefied(Counter(items), len(items), k)


def _rarefied(counts: Counter[Any], n: int, k: int) -> float:
    """`expected_distinct` of the items counted; what else is among the n does not count."""
    subsets = math.comb(n, k)
    return sum(1 - math.comb(n - count, k) / subsets for count in counts.values())


def solution_paths(texts: Sequence[str], k: int) -> float:
    """`expected_distinct` of the sequences of arithmetic operations."""
    return expected_distinct(list(map(operations, texts)), k)


def path_distance(texts: Sequence[str]) -> float:
    """The chance that two of the texts have different arithmetic."""
    return solution_paths(texts, 2) - 1


def equation_distance(texts: Sequence[str]) -> float:
    """Mean over pairs of 1 - |E_i and E_j| / |E_i or E_j|, E the set of equations of a text (Jaccard).

    It is 0 between copies, which are frequent, so each set is taken once.
    """
    total = 0.0
    counts = Counter(map(frozenset, map(operations, texts)))
    for (a, n), (b, m) in combinations(counts.items(), 2):
        total += n * m * (1 - len(a & b) / len(a | b))
    return total / max(math.comb(len(texts), 2), 1)


def edit_distance(texts: Sequence[str]) -> float:
    """Mean over pairs of the Levenshtein distance divided by the longer length."""
    return _edit_distances([texts])[0]


def _edit_distances(groups: Sequence[Sequence[str]]) -> list[float]:
    """`edit_distance` of each group of texts. Copies, which are frequent, are taken once."""
    texts, copies = list[str](), list[int]()
    firsts, seconds, group_of = [], [], []
    for number, group in enumerate(groups):
        counts = Counter(group)
        first, second = np.triu_indices(len(counts), 1)
        firsts.append(first + len(texts))
        seconds.append(second + len(texts))
        group_of.append(np.full(len(first), number))
        texts += counts.keys()
        copies += counts.values()
    if not groups:
        return []
    first, second, group_of_pair = np.concatenate(firsts), np.concatenate(seconds), np.concatenate(group_of)
    times, lengths = np.array(copies, dtype=np.int64), np.array([max(len(text), 1) for text in texts], dtype=np.int64)
    distances = edit_distances(texts, first, second) / np.maximum(lengths[first], lengths[second])
    total = np.bincount(group_of_pair, times[first] * times[second] * distances, len(groups))
    pairs = np.array([max(math.comb(len(group), 2), 1) for group in groups])
    means: list[float] = (total / pairs).tolist()
    return means


def distinct_n(texts: Sequence[str], n: int = 2) -> float:
    """Different n-grams of words over all n-grams of words (Li et al. 2016, arXiv 1510.03055); 0 without any."""
    different, total = set[tuple[str, ...]](), 0
    for text in texts:
        words = text.split()
        grams = list(zip(*(words[i:] for i in range(n)), strict=False))
        different.update(grams)
        total += len(grams)
    return len(different) / max(total, 1)


def answer_entropy(answers: Sequence[Hashable | None]) -> float:
    """Entropy in nats of the histogram of final answers; what stands for no answer is one of its bins."""
    counts = Counter(answers).values()
    total = sum(counts)
    return sum(-c / total * math.log(c / total) for c in counts)
