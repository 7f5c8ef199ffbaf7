"""How different the answers of one policy to one problem are. Each measure is of the texts of one problem.

They measure form: two wordings of one idea count as two, so compare policies on the same problems at equal counts and,
as accuracy alone makes wrong answers rarer, on the correct samples apart from all of them. A correct answer to which a
false step has led (8-3=6 and then 6-4=1) is no other solution but another error: `correct` samples are those without
one. Pairwise measures lie in [0, 1], 0 for copies; as means over pairs they are of two samples however many there are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

from reasonenv.errors import UserError
from reasonenv.measures.metrics import Scores
from reasonenv.measures.samples import Sample
from reasonenv.verify.solution_path import operations, steps_hold

T = TypeVar("T", bound=Hashable)

COMPARED = 16  # samples of a problem among which letters are compared: enough, and a hundred would take minutes


def diversity(samples: Iterable[Sample]) -> Scores:
    """Every measure of every problem in [0, 1], over its sampled answers: metric -> problem id -> value.

    `paths`, `equations`, `edits`: how different two samples are, on average, in their arithmetic as a whole, in their
    equations, in their letters; among all samples and, where there are two, among the correct ones. `answers`: the
    entropy of final answers over its maximum, log n. `bigrams`: distinct-2. `true_steps`: of the correct answers with
    written equations, the share whose equations are all true. Absent where there are too few samples.
    """
    table: dict[str, dict[str, float]] = {}
    for problem, mine in _drawn(samples).items():
        checked = [held for sample in mine if sample.correct and (held := steps_hold(sample.text)) is not None]
        if checked:
            table.setdefault("true_steps", {})[problem] = sum(checked) / len(checked)
        for which, kept in (("all", mine), ("correct", [sample for sample in mine if sound(sample)])):
            if len(kept) < 2:
                continue
            texts = [sample.text for sample in kept]
            for name, measure in PAIRWISE.items():
                table.setdefault(f"{name}/{which}", {})[problem] = measure(texts)
        if len(mine) > 1:
            answers = [sample.canonical for sample in mine]
            table.setdefault("answers", {})[problem] = answer_entropy(answers) / math.log(len(mine))
            table.setdefault("bigrams", {})[problem] = distinct_n([sample.text for sample in mine])
    return table


def distinct(samples: Iterable[Sample], ks: Sequence[int]) -> Scores:
    """`all@k` and `correct@k` of every problem: different solution paths expected among k of its sampled answers.

    Of `correct@k` only correct answers without a false step count, of k samples as they come; 2403.04642 tells
    exploration by these curves.
    """
    table: dict[str, dict[str, float]] = {}
    for problem, mine in _drawn(samples).items():
        paths = [operations(sample.text) for sample in mine]
        for k in (k for k in ks if k <= len(mine)):
            if k > 1:  # of one sample there is one
                table.setdefault(f"all@{k}", {})[problem] = expected_distinct(paths, k)
            right = [path for path, sample in zip(paths, mine, strict=True) if sound(sample)]
            table.setdefault(f"correct@{k}", {})[problem] = expected_distinct(right, k, others=len(mine) - len(right))
    return table


def sound(sample: Sample) -> bool:
    """Whether a sample is correct and holds no false step."""
    return sample.correct and steps_hold(sample.text) is not False


def drift(samples: Iterable[Sample]) -> Scores:
    """Of every problem `entropy` and `kl`, nats per token, estimated from its sampled answers.

    The mean of -log pi(y) and, where the initial policy pi_0 has scored the samples, of log pi(y) - log pi_0(y), over
    the mean length: unbiased of numerator and denominator. An estimate of KL(pi || pi_0) may be negative.
    """
    table: dict[str, dict[str, float]] = {}
    for problem, mine in _drawn(samples).items():
        scored = [(s.length, s.logp) for s in mine if s.logp is not None]
        known = [(s.length, s.logp - s.initial_logp) for s in mine if s.logp is not None and s.initial_logp is not None]
        for name, sign, pairs in (("entropy", -1, scored), ("kl", 1, known)):
            if pairs:
                table.setdefault(name, {})[problem] = sign * sum(v for _, v in pairs) / sum(n for n, _ in pairs)
    return table


def _drawn(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Problem -> its sampled answers."""
    drawn: dict[str, list[Sample]] = {}
    for sample in samples:
        if not sample.greedy:
            drawn.setdefault(sample.problem_id, []).append(sample)
    return drawn


def expected_distinct(items: Sequence[Hashable], k: int, *, others: int = 0) -> float:
    """Expected number of different items among `k` of n: rarefaction, sum_j 1 - C(n - n_j, k) / C(n, k).

    The n are the items and so many `others` that do not count. Of `operations`, these are the distinct solution paths
    of 2403.04642. Raises `UserError` unless 1 <= k <= n.
    """
    n = len(items) + others
    if not 1 <= k <= n:
        raise UserError(f"k is {k} but there are {n} samples; k must be at least 1 and at most the samples")
    subsets = math.comb(n, k)
    return sum(1 - math.comb(n - count, k) / subsets for count in Counter(items).values())


def solution_paths(texts: Sequence[str], k: int) -> float:
    """`expected_distinct` of the sequences of arithmetic operations."""
    return expected_distinct([operations(text) for text in texts], k)


def equation_distance(texts: Sequence[str]) -> float:
    """Mean over pairs of 1 - |E_i and E_j| / |E_i or E_j|, E the set of equations of a text (Jaccard)."""
    sets = [frozenset(operations(text)) for text in texts]
    return _pairs(sets, lambda a, b: 1 - len(a & b) / len(a | b))


def edit_distance(texts: Sequence[str]) -> float:
    """Mean over pairs of the Levenshtein distance divided by the longer length."""
    return _pairs(texts, lambda a, b: levenshtein(a, b) / max(len(a), len(b), 1))


def distinct_n(texts: Sequence[str], n: int = 2) -> float:
    """Different n-grams of words over all n-grams of words (Li et al. 2016, arXiv 1510.03055); 0 without any."""
    grams = [tuple(words[i : i + n]) for words in map(str.split, texts) for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def answer_entropy(answers: Sequence[Hashable | None]) -> float:
    """Entropy in nats of the histogram of final answers; None, no answer, is one of its bins."""
    counts = Counter(answers).values()
    total = sum(counts)
    return sum(-c / total * math.log(c / total) for c in counts)


def levenshtein(a: str, b: str) -> int:
    """Insertions, deletions and replacements from `a` to `b`.

    A column of the table of distances is two integers, a bit a row: where it rises and where it falls (Myers 1999, in
    the form of Hyyro 2003). Time grows with len(b), and with len(a) only in units of a machine word.
    """
    if not a:
        return len(b)
    places: dict[str, int] = {}
    for i, letter in enumerate(a):
        places[letter] = places.get(letter, 0) | 1 << i
    every, last, distance = (1 << len(a)) - 1, 1 << (len(a) - 1), len(a)
    up, down = every, 0
    for letter in b:
        same = places.get(letter, 0)
        diagonal = (((same & up) + up) ^ up) | same | down
        right, left = down | (~(diagonal | up) & every), up & diagonal
        distance += bool(right & last) - bool(left & last)
        right, left = (right << 1 | 1) & every, (left << 1) & every
        up, down = left | (~(diagonal | right) & every), right & diagonal
    return distance


PAIRWISE: Mapping[str, Callable[[Sequence[str]], float]] = {
    "paths": lambda texts: solution_paths(texts, 2) - 1,  # the chance that two have different arithmetic
    "equations": equation_distance,
    "edits": lambda texts: edit_distance(texts[:COMPARED]),  # still unbiased
}


def _pairs(items: Sequence[T], measure: Callable[[T, T], float]) -> float:
    """Mean of a distance over all pairs; it is 0 between copies, which are frequent, and each is taken once."""
    counts = Counter(items)
    total = sum(n * m * measure(a, b) for (a, n), (b, m) in combinations(counts.items(), 2))
    return total / max(math.comb(len(items), 2), 1)
