from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonenv.errors import UserError
from reasonenv.measures import metrics
from reasonenv.measures.metrics import (
    METRICS,
    all_at_k,
    auc,
    maj_at_k,
    pass_at_k,
    rerank_at_k,
    scores,
    summarise,
    weighted_at_k,
)
from reasonenv.measures.samples import Sample, Samples
from reasonenv.stats import Floats
from reasonenv.testing import TabularPolicy, TinyMDP
from reasonenv.verify.grade import grade

ANSWERS = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=7)


def sample(problem: str, index: int, answer: str | None, gold: str = "18", **changes: object) -> Sample:
    verdict = grade("" if answer is None else f"#### {answer}", gold, kind="numeric")
    fields: dict[str, object] = {
        "problem_id": problem,
        "index": index,
        "greedy": False,
        "correct": verdict.correct,
        "reason": str(verdict.reason),
        "extracted": verdict.extracted,
        "canonical": verdict.canonical,
        "length": 5,
        "truncated": answer is None,
        "text": f"#### {answer}",
    }
    return Sample(**{**fields, **changes})  # type: ignore[arg-type]


def test_pass_at_k_gold() -> None:
    # n = 5, c = 2, k = 3: of C(5,3) = 10 subsets only the C(3,3) = 1 of all wrong answers fails, so 9/10.
    assert pass_at_k(5, 2, 3) == pytest.approx(0.9)
    # n = 4, c = 1, k = 1 is the share of correct samples; n - c < k cannot fail.
    assert pass_at_k(4, 1, 1) == 0.25
    assert pass_at_k(4, 2, 3) == 1.0
    assert pass_at_k(96, 0, 96) == 0.0


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(flags: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(flags)))
    subsets = list(combinations(flags, k))
    assert pass_at_k(len(flags), sum(flags), k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_all_at_k_is_the_share_of_subsets_without_a_wrong_sample(flags: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(flags)))
    subsets = list(combinations(flags, k))
    assert all_at_k(len(flags), sum(flags), k) == pytest.approx(sum(map(all, subsets)) / len(subsets))


def test_pass_at_k_is_exact_on_an_enumerable_process() -> None:
    # its mean over all 4^4 draws of n = 4 responses is the chance that one of k is correct, by listing these instead
    mdp = TinyMDP(actions=2, horizon=2, reward=lambda response: float(sum(response) == 2))
    policy = TabularPolicy(mdp)
    right = [t.verdict.correct for t in mdp.group(policy, range(4)).trajectories]
    chance = policy.log_likelihood().detach().exp().tolist()

    def mean(k: int, value: Callable[[list[bool]], float]) -> float:
        draws = product(range(4), repeat=k)
        return sum(math.prod(chance[i] for i in draw) * value([right[i] for i in draw]) for draw in draws)

    for k in (1, 2, 3, 4):
        estimated = mean(4, lambda flags, k=k: pass_at_k(4, sum(flags), k))  # type: ignore[misc]
        assert estimated == pytest.approx(mean(k, any), abs=1e-12)
        assert estimated == pytest.approx(1 - (1 - float(mdp.value(policy).detach())) ** k, abs=1e-12)


def test_pass_at_k_survives_large_n() -> None:
    # c = 1: the one correct sample is among k of n with chance k / n.
    assert pass_at_k(10_000, 1, 2_500) == pytest.approx(0.25)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 5), (4, 1, 0), (0, 0, 1), (4, 5, 2), (4, -1, 2)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(UserError, match=r"k is|impossible"):
        pass_at_k(n, c, k)


def test_maj_at_n_gold() -> None:
    # Votes 2 : 2 : 1; the right answer shares the lead with one other.
    assert maj_at_k(["a", "a", "b", "b", "c"], [True, True, False, False, False], 5) == 0.5
    # A lone right answer wins when the others do not vote, and nobody voting earns nothing.
    assert maj_at_k(["a", None, None], [True, False, False], 3) == 1.0
    assert maj_at_k([None, None], [False, False], 2) == 0.0


def test_maj_at_k_below_n_gold() -> None:
    # a a b, k = 2, a right. Subsets: aa -> 1, ab -> 1/2, ab -> 1/2, mean 2/3.
    assert maj_at_k(["a", "a", "b"], [True, True, False], 2) == pytest.approx(2 / 3)


@given(ANSWERS, st.data())
def test_maj_at_k_is_the_mean_vote_over_all_subsets(answers: list[str | None], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(answers)))

    def vote(subset: tuple[str | None, ...]) -> Fraction:
        cast = [a for a in subset if a is not None]
        lead = max((cast.count(a) for a in cast), default=0)
        tied = {a for a in cast if cast.count(a) == lead}
        return Fraction("a" in tied, max(len(tied), 1))

    subsets = list(combinations(answers, k))
    expected = float(sum((vote(s) for s in subsets), Fraction()) / len(subsets))
    assert maj_at_k(answers, [a == "a" for a in answers], k) == pytest.approx(expected)
    assert maj_at_k(answers[::-1], [a == "a" for a in answers[::-1]], k) == pytest.approx(expected)


def test_random_subsets_agree_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, right = list("aaaaabbbbccd"), [True] * 5 + [False] * 7
    exact = maj_at_k(answers, right, 6)  # C(12, 6) = 924 subsets
    metrics._plurality.cache_clear()
    metrics._subsets.cache_clear()
    monkeypatch.setattr(metrics, "EXACT_SUBSETS", 0)
    estimate = maj_at_k(answers, right, 6)
    metrics._plurality.cache_clear()
    metrics._subsets.cache_clear()
    assert estimate != exact
    assert estimate == pytest.approx(exact, abs=4 * 0.5 / metrics.RANDOM_SUBSETS**0.5)  # four standard errors


SCORED = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from([0.1, 0.25, 0.7, 0.9])), min_size=1, max_size=7
)


def test_rerank_at_k_gold() -> None:
    # scores .9 (wrong) .8 (right) .1 (right), k = 2. Subsets: {.9 .8} -> 0, {.9 .1} -> 0, {.8 .1} -> 1, so 1/3.
    assert rerank_at_k([0.9, 0.8, 0.1], [False, True, True], 2) == pytest.approx(1 / 3)
    assert rerank_at_k([0.9, 0.8, 0.1], [False, True, True], 3) == 0.0
    assert rerank_at_k([0.5, 0.5, 0.1], [False, True, True], 3) == 0.5  # two at the top share the credit


def test_weighted_at_k_gold() -> None:
    # 0.4 + 0.4 for b beat 0.7 for a; without scores a b b is b's as well, but a alone with 0.9 is not outvoted.
    assert weighted_at_k(["a", "b", "b"], [0.7, 0.4, 0.4], [True, False, False], 3) == 0.0
    assert weighted_at_k(["a", "b", "b"], [0.9, 0.4, 0.4], [True, False, False], 3) == 1.0
    assert weighted_at_k([None, "a"], [0.9, 0.1], [False, True], 2) == 1.0
    assert weighted_at_k([None], [0.9], [False], 1) == 0.0


@given(SCORED, st.data())
def test_scored_metrics_are_the_mean_over_all_subsets(
    rows: list[tuple[str | None, float]], data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(rows)))
    answers, given_scores = [a for a, _ in rows], [s for _, s in rows]
    right = [a == "a" for a in answers]

    def best(subset: tuple[tuple[str | None, float], ...]) -> float:
        top = [a == "a" for a, s in subset if s == max(s for _, s in subset)]
        return sum(top) / len(top)

    def vote(subset: tuple[tuple[str | None, float], ...]) -> float:
        sums = {b: sum(Fraction(str(s)) for a, s in subset if a == b) for b, _ in subset if b is not None}
        tied = [a for a, total in sums.items() if total == max(sums.values())]
        return ("a" in tied) / max(len(tied), 1)

    subsets = list(combinations(rows, k))
    # ties within a subset go to the mean of the tied in it, ties among all to the mean of all: the same on average
    assert rerank_at_k(given_scores, right, k) == pytest.approx(sum(map(best, subsets)) / len(subsets))
    assert weighted_at_k(answers, given_scores, right, k) == pytest.approx(sum(map(vote, subsets)) / len(subsets))
    assert weighted_at_k(answers, [0.7] * len(rows), right, k) == pytest.approx(maj_at_k(answers, right, k))


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.booleans()), max_size=9))
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[float, bool]]) -> None:
    pairs = [(s > t) + (s == t) / 2 for s, right in rows if right for t, other in rows if not other]
    found = auc([s for s, _ in rows], [right for _, right in rows])
    assert found == (pytest.approx(sum(pairs) / len(pairs)) if pairs else None)


def test_only_scored_samples_are_ranked() -> None:
    plain = [sample("p", 0, "18"), sample("p", 1, "1")]
    assert "rerank@2" not in scores(plain, [2])
    ranked = [sample("p", 0, "18", score=0.2), sample("p", 1, "1", score=0.6)]
    found = scores([*ranked, *(sample("q", i, "18") for i in range(2))], [1, 2])
    assert found["rerank@2"] == found["weighted@2"] == {"p": 0.0}  # q bears no scores
    assert "rerank@1" not in found


def test_summary_gold() -> None:
    # p: greedy right, samples 18 18.0 17 none -> avg 1/2, pass@4 1, maj@4: 18 leads 2 : 1 -> 1, answered 4/5.
    # q: greedy wrong, samples 1 1 2 18        -> avg 1/4, pass@4 1, maj@4: 1 leads        -> 0, answered 5/5.
    p = [sample("p", 0, "18", greedy=True), *(sample("p", i, a) for i, a in enumerate(["18", "18.0", "17", None]))]
    q = [sample("q", 0, "3", greedy=True), *(sample("q", i, a) for i, a in enumerate(["1", "1", "2", "18"]))]
    found = {metric: estimate.value for metric, estimate in summarise([*p, *q], [1, 4]).items()}
    assert found == pytest.approx(
        {
            "greedy_accuracy": 0.5,
            "avg@4": 0.375,
            "maj@4": 0.5,
            "pass@1": 0.375,
            "pass@4": 1.0,
            "pass^4": 0.0,  # 2 and 1 right of 4
            "answered": 0.9,
            "truncated": 0.1,
            "unverified": 0.0,
            "hard_to_verify": 0.0,
            "score": 0.5,  # as the accuracy where no answer has partial credit
            "score@4": 0.375,
        }
    )
    assert all(e.low <= e.value <= e.high and e.n == 2 for e in summarise([*p, *q], [1, 4]).values())


def test_what_was_not_judged_is_no_wrong_answer() -> None:
    # Of q's two samples one timed out: the other alone counts, and pass@2 cannot be known for q.
    p = [sample("p", 0, "18"), sample("p", 1, "1")]
    q = [sample("q", 0, "18"), sample("q", 1, "18", correct=False, reason="timeout")]
    found = scores([*p, *q], [1, 2])
    assert found["avg@2"] == {"p": 0.5, "q": 1.0}
    assert found["pass@2"] == {"p": 1.0}
    assert found["hard_to_verify"] == {"p": 0.0, "q": 0.5}
    assert found["unverified"] == {"p": 0.0, "q": 0.0}
    broken = scores([*p, *(replace(s, reason="error" if s.reason == "timeout" else s.reason) for s in q)], [1, 2])
    assert {**found, "unverified": found["hard_to_verify"], "hard_to_verify": found["unverified"]} == broken


def test_scores_are_means_of_partial_credit_over_what_was_judged() -> None:
    # p: greedy 0.25; samples 1 (right), 0.5 and one that timed out, with whatever score: mean 3/4 of the two judged
    p = [sample("p", 0, "1", greedy=True, verdict_score=0.25), sample("p", 0, "18", verdict_score=1.0)]
    p += [sample("p", 1, "1", verdict_score=0.5), sample("p", 2, "1", reason="timeout", verdict_score=0.9)]
    found = scores(p, [])
    assert (found["score"], found["score@3"]) == ({"p": 0.25}, {"p": 0.75})
    assert (found["greedy_accuracy"], found["avg@3"]) == ({"p": 0.0}, {"p": 0.5})


def test_what_the_task_measures_is_a_column_of_its_name() -> None:
    # greedy answers of p and q: 0.2 and 0.4; of q's samples one has the metric, of p's none
    rows = [sample("p", 0, "1", greedy=True, metrics={"brevity": 0.2}), sample("p", 0, "1")]
    rows += [sample("q", 0, "1", greedy=True, metrics={"brevity": 0.4}), sample("q", 0, "1", metrics={"brevity": 1.0})]
    found = scores(rows, [])
    assert (found["brevity"], found["brevity@1"]) == ({"p": 0.2, "q": 0.4}, {"q": 1.0})
    with pytest.raises(UserError, match="metric 'brevity' is 3 of a problem"):
        scores([sample("p", 0, "1", greedy=True, metrics={"brevity": 3.0})], [])


def test_an_unparsable_answer_does_not_vote() -> None:
    odd = [sample("p", i, "umpteen") for i in range(3)]
    assert {s.reason for s in odd} == {"unparsable_answer"}
    assert scores([*odd, sample("p", 3, "18")], [4])["maj@4"] == {"p": 1.0}


def test_a_registered_function_is_a_metric_for_every_k(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))

    def first_of(samples: Samples, k: int) -> Floats:
        return samples.share(samples.correct, ~samples.greedy & (samples.index < k))

    METRICS.register("first@k", first_of)
    METRICS.register("short", lambda samples: samples.share(samples.length < 6, samples.greedy))
    drawn = [sample("p", 0, "1"), sample("p", 1, "18"), sample("p", 2, "1"), sample("p", 3, "1")]
    table = scores([*drawn, sample("q", 0, "18", greedy=True)], [2, 4])
    assert table["first@2"] == {"p": 0.5}  # q has no sampled answer
    assert table["first@4"] == {"p": 0.25}
    assert table["short"] == {"q": 1.0}
    assert list(table)[-3:] == ["first@2", "first@4", "short"]  # behind those of the package
    METRICS.register("odd", lambda samples: np.full(len(samples.problems), 1.5))
    with pytest.raises(UserError, match=r"metric 'odd' is 1.5 of a problem; it must be in \[0, 1\]"):
        scores(drawn, [2])
    METRICS.register("odd", lambda samples: [0.5] * 7)
    with pytest.raises(UserError, match=r"metric 'odd' has the shape \(7,\); it must be \(1,\), a value a problem"):
        scores(drawn, [2])
    METRICS.register("odd", lambda samples: 1 / 0)
    with pytest.raises(UserError, match="metric 'odd' failed: ZeroDivisionError"):
        scores(drawn, [2])


def test_columns_hold_what_the_records_hold() -> None:
    records = [
        sample("q", 0, "18", greedy=True),
        sample("p", 1, "1", score=0.5, logp=-2.0),
        sample("q", 0, None),
        sample("p", 0, "18", correct=False, reason="timeout"),
    ]
    columns = Samples.of(records)
    assert columns.problems == ("q", "p")
    assert [columns.problems[i] for i in columns.problem] == [record.problem_id for record in records]
    assert [columns.reasons[i] for i in columns.reason] == [record.reason for record in records]
    assert columns.verified.tolist() == [record.verified for record in records]
    assert columns.score.tolist()[1] == 0.5
    assert np.isnan(columns.score[[0, 2, 3]]).all()
    assert columns.vote.tolist() == [0, 1, -1, -1]  # no answer and no verdict have no vote
    assert [(p, rows.tolist()) for p, rows in columns.by_problem(~columns.greedy)] == [(0, [2]), (1, [1, 3])]
    assert columns.records("p") == [records[1], records[3]]
    assert columns.records("absent") == []
    assert len(Samples.of([])) == 0
    assert list(Samples.of([]).by_problem(np.zeros(0, dtype=bool))) == []


def test_bad_requests_are_refused() -> None:
    with pytest.raises(UserError, match="no samples"):
        summarise([], [1])
    with pytest.raises(UserError, match="k is 3 but there are 2 samples"):
        summarise([sample("p", 0, "1"), sample("p", 1, "1")], [3])
    with pytest.raises(UserError, match="stored twice"):
        summarise([sample("p", 0, "1"), sample("p", 0, "1")], [1])


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_more_samples_never_lower_pass_at_k(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = [sample(f"{i}", j, str(rng.integers(17, 20))) for i in range(5) for j in range(8)]
    found = summarise(drawn, [1, 2, 4, 8])
    curve = [found[f"pass@{k}"].value for k in (1, 2, 4, 8)]
    assert curve == sorted(curve)


def test_what_a_search_selected_counts_in_its_own_accuracy_and_nowhere_else() -> None:
    # two problems: one of two draws is right, greedy answers are wrong; the search is right on the first
    rows = []
    for problem in "ab":
        rows += [sample(problem, 0, "18"), sample(problem, 1, "7"), sample(problem, 0, "5", greedy=True)]
    plain = scores(rows, [1, 2])
    found = scores([*rows, sample("a", 0, "18", selected=True), sample("b", 0, None, selected=True)], [1, 2])
    assert found.pop("search_accuracy") == {"a": 1.0, "b": 0.0}
    assert found == plain
    assert plain["avg@2"] == {"a": 0.5, "b": 0.5}
    assert "search_accuracy" not in plain
