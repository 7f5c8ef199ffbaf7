from __future__ import annotations

import math
import random
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.errors import UserError
from reasonenv.measures import edit_distance as edit_distance_module
from reasonenv.measures.diversity import (
    answer_entropy,
    distinct,
    distinct_bigrams,
    diversity,
    drift,
    equation_distance,
    expected_distinct,
    mean_edit_distances,
    solution_paths,
)
from reasonenv.measures.edit_distance import edit_distances
from reasonenv.measures.samples import Sample

ITEMS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=8)
TEXT = st.text(alphabet="ab1 é", max_size=12)


@given(ITEMS, st.data())
def test_rarefaction_is_the_mean_over_all_subsets(items: list[str], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(items)))
    subsets = [len(set(chosen)) for chosen in combinations(items, k)]
    assert expected_distinct(Counter(items), len(items), k) == pytest.approx(sum(subsets) / len(subsets))


@given(st.lists(st.tuples(st.sampled_from(["1+1=2", "2+2=4", "3+3=6"]), st.booleans()), min_size=1, max_size=7))
def test_different_solutions_are_the_mean_over_all_subsets(answers: list[tuple[str, bool]]) -> None:
    samples = [
        Sample("a", i, False, right, "correct" if right else "wrong", "1", 4, False, text)
        for i, (text, right) in enumerate(answers)
    ]
    n = len(samples)
    found = distinct(samples, range(1, n + 2))  # there is no mean over n + 1 of n
    assert found.keys() == {f"correct@{k}" for k in range(1, n + 1)} | {f"all@{k}" for k in range(2, n + 1)}
    for k in range(1, n + 1):
        subsets = list(combinations(answers, k))
        right = [len({text for text, flag in chosen if flag}) for chosen in subsets]
        assert found[f"correct@{k}"]["a"] == pytest.approx(sum(right) / len(subsets))
        if k > 1:
            every = [len({text for text, _ in chosen}) for chosen in subsets]
            assert found[f"all@{k}"]["a"] == pytest.approx(sum(every) / len(subsets))


def test_drift_gold() -> None:
    # Two samples of 2 and 4 tokens at -1 and -2 nats: entropy (1 + 2) / 6. The first is known to the initial policy,
    # at -4: KL (-1 + 4) / 2.
    one = Sample("a", 0, False, True, "correct", "1", 2, False, "1", logp=-1.0, initial_logp=-4.0)
    two = Sample("a", 1, False, True, "correct", "1", 4, False, "1", logp=-2.0)
    greedy = Sample("a", 0, True, True, "correct", "1", 2, False, "1")
    assert drift([one, two, greedy]) == {"entropy": {"a": 0.5}, "kl": {"a": 1.5}}
    assert drift([greedy]) == {}


def test_drift_of_every_response_is_the_exact_divergence() -> None:
    # Samples in their exact proportions: pi = (3/4, 1/4), pi_0 = (1/4, 3/4) over two responses of one token.
    pi, start = {"x": 0.75, "y": 0.25}, {"x": 0.25, "y": 0.75}
    drawn = [
        Sample("a", i, False, True, "correct", "1", 1, False, t, logp=math.log(pi[t]), initial_logp=math.log(start[t]))
        for i, t in enumerate("xxxy")
    ]
    found = drift(drawn)
    assert found["kl"]["a"] == pytest.approx(sum(p * math.log(p / start[t]) for t, p in pi.items()))
    assert found["entropy"]["a"] == pytest.approx(-sum(p * math.log(p) for p in pi.values()))


def test_a_correct_answer_with_a_false_step_is_no_other_solution() -> None:
    # 8-3-4 is 1. The third answer gets there by two errors that cancel, so of the correct samples one solution is left;
    # of the three correct ones two have only true steps.
    texts = ["8-3=5\n5-4=1\n#### 1", "8-3=5\n5-4=1\n#### 1", "8-3=6\n6-4=1\n#### 1", "8-3=5\n5-4=2\n#### 2"]
    drawn = [Sample("a", i, False, t[-1] == "1", "correct", t[-1], 4, False, t) for i, t in enumerate(texts)]
    measures = diversity(drawn)
    assert measures["paths/correct"] == {"a": 0.0}
    assert measures["true_steps"] == {"a": pytest.approx(2 / 3)}
    assert measures["paths/all"]["a"] > 0
    assert distinct(drawn, [4])["correct@4"] == {"a": 1.0}


def test_a_correct_answer_without_an_equation_counts() -> None:
    drawn = [Sample("a", i, False, True, "correct", "1", 4, False, text) for i, text in enumerate(("one", "it is 1"))]
    measures = diversity(drawn)
    assert measures["paths/correct"] == {"a": 1.0}
    assert "true_steps" not in measures


def test_paths_are_counted_by_their_arithmetic() -> None:
    # The first two write the same operations in other words, so of three samples two are different: with k = 2 the
    # pairs are (same), (different), (different), on average 5/3.
    texts = ["7 + 5 = 12", "so 7+5=12, fine", "5 + 7 = 12"]
    paths = solution_paths(texts)
    assert sorted(paths.values()) == [1, 2]
    assert expected_distinct(paths, 3, 2) == pytest.approx(5 / 3)


def test_more_samples_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(UserError, match="k is 3 but there are 2 samples"):
        expected_distinct(Counter("ab"), 2, 3)


def test_equation_distance_gold() -> None:
    # {a, b} and {a, c} share one of three: 1 - 1/3.
    assert equation_distance(solution_paths(["1+1=2 2+1=3", "1+1=2 2+2=4"])) == pytest.approx(2 / 3)


def slow_levenshtein(a: str, b: str) -> int:
    """The recursion that defines it, row by row."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def all_distances(texts: list[str]) -> list[list[int]]:
    """Every text against every text."""
    first, second = np.indices((len(texts), len(texts))).reshape(2, -1)
    distances: list[list[int]] = edit_distances(texts, first, second).reshape(len(texts), len(texts)).tolist()
    return distances


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_edit_distances_are_the_recursion(texts: list[str]) -> None:
    assert all_distances(texts) == [[slow_levenshtein(a, b) for b in texts] for a in texts]


def test_edit_distances_of_texts_around_and_beyond_a_machine_word() -> None:
    rng = random.Random(0)
    texts = ["".join(rng.choices("ab\0é\U0001f600", k=length)) for length in (0, 1, 63, 64, 65, 127, 128, 129, 200)]
    assert all_distances(texts) == [[slow_levenshtein(a, b) for b in texts] for a in texts]
    a = "kitten " * 30
    assert all_distances([a, a.replace("k", "s").replace("e", "i")]) == [[0, 60], [60, 0]]  # two letters of each word


def test_edit_distances_do_not_depend_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    texts = ["".join(rng.choices("abc", k=rng.randrange(150))) for _ in range(20)]
    whole = all_distances(texts)
    monkeypatch.setattr(edit_distance_module, "BLOCK", 1)
    assert all_distances(texts) == whole


def test_distinct_bigrams_gold() -> None:
    # (a b) (b a) from the first, (a b) from the second: two different of three.
    assert distinct_bigrams(["a b a", "a b"]) == pytest.approx(2 / 3)
    assert distinct_bigrams(["a", "b"]) == 0


def test_entropy_of_answers() -> None:
    assert answer_entropy([1, 1, 1]) == 0
    assert answer_entropy([1, 2, None, None]) == pytest.approx(1.5 * math.log(2))  # 1/4, 1/4, 1/2


@given(st.lists(TEXT, min_size=2, max_size=4))
def test_copies_have_no_distance(texts: list[str]) -> None:
    assert equation_distance(solution_paths(texts[:1] * 3)) == 0
    assert 0 <= equation_distance(solution_paths(texts)) <= 1
    assert mean_edit_distances([(texts[:1] * 3, texts[:1] * 2)]) == ([0], [0])


@given(st.lists(st.tuples(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=3)), max_size=3))
def test_mean_edit_distances_are_those_of_every_pair(groups: list[tuple[list[str], list[str]]]) -> None:
    def mean(texts: list[str]) -> float:
        shares = [slow_levenshtein(a, b) / max(len(a), len(b), 1) for a, b in combinations(texts, 2)]
        return sum(shares) / max(len(shares), 1)

    whole, part = mean_edit_distances(groups)
    assert whole == pytest.approx([mean(texts) for texts, _ in groups])
    assert part == pytest.approx([mean(texts) for _, texts in groups])


def test_every_measure_is_a_share_and_knows_correct_from_all() -> None:
    texts = ["1+1=2 #### 2", "1+1=2 #### 2", "0+2=2 #### 2", "1+1=3 #### 3"]
    drawn = [
        Sample("a", i, False, t.endswith("2"), "correct" if t.endswith("2") else "wrong", t[-1], 4, False, t, t[-1])
        for i, t in enumerate(texts)
    ]
    found = diversity([*drawn, Sample("b", 0, False, True, "correct", "2", 4, False, "1+1=2")])
    # Correct: of three pairs two have different arithmetic. All: of six pairs only (0, 1) agree.
    assert found["paths/correct"] == {"a": pytest.approx(2 / 3)}
    assert found["paths/all"] == {"a": pytest.approx(5 / 6)}
    # Answers 2, 2, 2, 3: (3/4 log 4/3 + 1/4 log 4) / log 4.
    assert found["answers"]["a"] == pytest.approx((0.75 * math.log(4 / 3) + 0.25 * math.log(4)) / math.log(4))
    assert all(0 <= value <= 1 for table in found.values() for value in table.values())
