"""One meaning of accuracy: what we failed to judge leaves numerator and denominator, by every path."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from reasonenv.agents.sft import SFT
from reasonenv.core import FAILURES, HARD_TO_VERIFY, Group, Problem, Reason, Verdict
from reasonenv.errors import UserError
from reasonenv.experiment.config import describe_run
from reasonenv.experiment.stored_baselines import choose
from reasonenv.learn.evaluation import GreedyEvaluator, HeldOut, area_under_curve
from reasonenv.learn.loop import describe
from reasonenv.mdp.config import EnvConfig
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.measures.metrics import GREEDY, summarise
from reasonenv.measures.samples import EVALUATION, Sample, read_samples, write_samples
from reasonenv.policy.tiny import tiny_policy
from reasonenv.sampling import make_sampler
from reasonenv.stats import Accuracy, accuracy, wilson
from reasonenv.tasks import Task
from reasonenv.testing import TabularPolicy, TinyMDP
from reasonenv.tokenizer import byte_tokenizer
from reasonenv.verify.grade import verify_math

# Ten answers: 6 right, 2 wrong, 2 that nobody judged. 6 of 8 are right: 0.75, where 6 of 10 would be 0.6.
REASONS = [Reason.CORRECT] * 6 + [Reason.WRONG] * 2 + [Reason.TIMEOUT] * 2
SHARE = 0.75


def stored(reasons: list[Reason], greedy: bool = True) -> list[Sample]:
    """One answer to each problem."""
    return [
        Sample(f"p{i}", 0, greedy, reason is Reason.CORRECT, str(reason), "1", 3, False, "#### 1", "1")
        for i, reason in enumerate(reasons)
    ]


@pytest.fixture
def evaluator(tmp_path: Path) -> GreedyEvaluator:
    return evaluator_on(make_mdp("Chain", size=10, operands=2, operators="+"), tmp_path)


def evaluator_on(mdp: ReasoningMDP, out: Path) -> GreedyEvaluator:
    method = SFT(tiny_policy(0))
    held_out = HeldOut(make_sampler("torch", method.policy), mdp, out / "evaluations", range(10), seed=0)
    return GreedyEvaluator(held_out, method)


def trajectories(reasons: list[Reason]) -> Group:
    mdp = TinyMDP(actions=2, horizon=1, reward=lambda response: 0.0)
    group = mdp.group(TabularPolicy(mdp), [0] * len(reasons))
    verdicts = [Verdict(reason, "1", "1") for reason in reasons]
    rows = [replace(t, verdict=verdict) for t, verdict in zip(group.trajectories, verdicts, strict=True)]
    return replace(group, trajectories=tuple(rows))


def test_the_row_of_a_training_iteration() -> None:
    row = describe([trajectories(REASONS)])
    assert row["accuracy"] == SHARE
    # z^2 = 3.841459: centre (0.75 + z^2 / 16) / (1 + z^2 / 8) = 0.990091 / 1.480182 = 0.668898, and the half width is
    # z / 1.480182 * sqrt(0.75 * 0.25 / 8 + z^2 / 256) = 1.324134 * 0.196070 = 0.259623.
    assert (row["accuracy/low"], row["accuracy/high"]) == pytest.approx((0.409275, 0.928521), abs=1e-5)
    assert (row["verifier_errors"], row["hard_to_verify"]) == (0.0, 0.2)  # time-outs are of the problems


def test_the_evaluation_along_the_way(evaluator: GreedyEvaluator) -> None:
    figures = evaluator.metrics(stored(REASONS))
    assert figures[f"eval/{GREEDY}"] == SHARE
    assert (figures[f"eval/{GREEDY}/low"], figures[f"eval/{GREEDY}/high"]) == wilson(SHARE, 8)
    assert (figures["eval/verifier_errors"], figures["eval/hard_to_verify"]) == (0.0, 0.2)


def test_the_summary_of_a_run(evaluator: GreedyEvaluator) -> None:
    write_samples(evaluator.path(0), stored(REASONS[::-1]))
    write_samples(evaluator.path(5), stored(REASONS))
    assert evaluator.accuracy(0) == evaluator.accuracy(5) == SHARE
    assert evaluator.outcomes(5) == {**{f"p{i}": 1.0 for i in range(6)}, "p6": 0.0, "p7": 0.0}
    # Before, 0 and 1 were not judged, 2 and 3 were wrong; after, 8 and 9 are not judged, 6 and 7 are wrong: of 2 to 7,
    # two are won and two are lost.
    gain = evaluator.gain(0, 5)
    assert (gain.value, gain.questions) == (0.0, 6)


def test_the_summary_of_an_agent_that_chooses_among_stored_answers(tmp_path: Path) -> None:
    write_samples(tmp_path / "stored" / EVALUATION, [*stored(REASONS), *stored(REASONS, greedy=False)])
    run = describe_run("majority", "reasonenv/Chain-Response-v0", {"eval_problems": 10}, iterations=1)
    choose(run, tmp_path / "out", tmp_path / "stored")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["before"], summary["after"], summary["problems"]) == (SHARE, SHARE, 8)
    assert summarise(read_samples(tmp_path / "out" / EVALUATION), [])[GREEDY].value == SHARE


def test_the_figure_of_a_report() -> None:
    greedy = summarise(stored(REASONS), [])[GREEDY]
    assert (greedy.value, greedy.n) == (SHARE, 8)
    drawn = summarise(stored(REASONS, greedy=False), [1])
    assert drawn["avg@1"].value == drawn["pass@1"].value == SHARE


def test_the_record_itself() -> None:
    assert accuracy(stored(REASONS)) == Accuracy(6, 8, 10, hard=2)
    assert accuracy(stored(REASONS), lambda sample: not sample.correct) == Accuracy(2, 8, 10, hard=2)
    assert {reason for reason in Reason if accuracy(stored([reason])).judged == 0} == set(FAILURES)
    assert accuracy(stored([Reason.ERROR, *HARD_TO_VERIFY])) == Accuracy(0, 0, 3, hard=2)


def test_the_area_under_the_curve_leaves_them_out_too() -> None:
    # the right answer is scored above the wrong one; the one that timed out, with the best score of all, is neither
    reasons, scores = [Reason.CORRECT, Reason.WRONG, Reason.TIMEOUT], [0.7, 0.2, 0.9]
    samples = [replace(sample, score=score) for sample, score in zip(stored(reasons), scores, strict=True)]
    assert area_under_curve(samples) == 1.0


def test_training_without_a_verdict_has_no_accuracy() -> None:
    metrics = describe([trajectories([Reason.ERROR, Reason.ERROR, Reason.TIMEOUT])])
    assert "accuracy" not in metrics
    assert "score" not in metrics
    assert (metrics["verifier_errors"], metrics["hard_to_verify"]) == pytest.approx((2 / 3, 1 / 3))


def test_where_nothing_was_judged_it_says_so(evaluator: GreedyEvaluator) -> None:
    lost = [Reason.TIMEOUT] * 3
    assert accuracy(stored(lost)).interval == (0.0, 1.0)
    for ask in (
        lambda: accuracy(stored(lost)).value,
        lambda: evaluator.metrics(stored(lost)),
    ):
        with pytest.raises(UserError, match="none of 3 answers could be judged"):
            ask()
    write_samples(evaluator.path(0), stored(REASONS[:3]))
    write_samples(evaluator.path(5), stored(lost))
    with pytest.raises(UserError, match="no held-out problem was judged after 0 and after 5 iterations"):
        evaluator.gain(0, 5)
    assert GREEDY not in summarise(stored(lost), [])


@given(st.integers(1, 2_000), st.data())
def test_wilson_is_that_of_scipy(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    interval = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right / n, n) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_wilson_at_its_edges() -> None:
    assert wilson(0.0, 0) == (0.0, 1.0)
    assert wilson(0.0, 5)[0] == 0.0
    assert wilson(1.0, 5)[1] == 1.0
    assert wilson(0.5, 5) != wilson(0.4, 5)  # 2.5 right answers, a mean over problems, are not rounded to 2


def test_a_question_that_several_problems_ask_counts_once_along_the_way(tmp_path: Path) -> None:
    # Nine problems ask one question, the tenth another. Before, the tenth alone is right; after, the nine alone.
    same, other = Problem("a", "1+1=?", "2"), Problem("b", "2+2=?", "4")
    problems = [*(replace(same, id=f"p{i}") for i in range(9)), replace(other, id="p9")]
    mdp = ReasoningMDP(Task("Twice", "test", problems, verify_math), byte_tokenizer(), EnvConfig())
    evaluator = evaluator_on(mdp, tmp_path)
    write_samples(evaluator.path(0), stored([Reason.WRONG] * 9 + [Reason.CORRECT]))
    write_samples(evaluator.path(5), stored([Reason.CORRECT] * 9 + [Reason.WRONG]))
    assert evaluator.accuracy(0) == evaluator.accuracy(5) == 0.5
    gain = evaluator.gain(0, 5)
    assert (gain.value, gain.questions) == (0.0, 2)
