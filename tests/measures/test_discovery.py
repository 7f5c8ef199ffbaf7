"""Discovery: only what an agent solves beyond a placebo, which knows no more than the initial policy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.data.from_problems import from_problems
from reasonenv.experiment.assess import evaluate
from reasonenv.experiment.train import base
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.measures.comparisons import Contrast
from reasonenv.measures.discovery import (
    Discovery,
    Draws,
    Origin,
    base_draws,
    claim,
    discovered,
    discovery,
    origins,
    solved,
    surprise,
    upper_bound,
)
from reasonenv.measures.provenance import SolvedProblem
from reasonenv.measures.questions import HeldOutProblem, by_question
from reasonenv.measures.samples import Sample
from reasonenv.policy.tiny import tiny_policy
from reasonenv.sampling import make_sampler

Floats = npt.NDArray[np.float64]
K, BUDGET = 8, 32


def sample(problem: str, index: int, correct: bool, greedy: bool = False) -> Sample:
    reason = "correct" if correct else "wrong"
    return Sample(problem, index, greedy, correct, reason, "1", 3, False, "1")


def test_unsolved_problems_are_asked_again_in_doubling_rounds_up_to_the_budget() -> None:
    # Problem 0 is solved in the first round, 1 in the third, 2 never: 8, then 8, then 16, then what is left of 50.
    asked = []

    def ask(problems: Sequence[int], samples: int, number: int) -> list[tuple[int, int]]:
        asked.append((list(problems), samples, number))
        solved_in = {0: 0, 1: 2}
        return [(samples, 3 * (solved_in.get(problem) == number)) for problem in problems]

    assert base_draws(ask, [0, 1, 2], first=8, most=50) == {0: (8, 3), 1: (32, 3), 2: (50, 0)}
    assert asked == [([0, 1, 2], 8, 0), ([1, 2], 8, 1), ([1, 2], 16, 2), ([2], 18, 3)]


@given(st.integers(1, 40), st.integers(0, 300))
def test_no_problem_is_asked_more_than_the_budget(first: int, most: int) -> None:
    drawn = base_draws(lambda problems, samples, _: [(samples, 0)] * len(problems), [0], first=first, most=most)
    assert drawn == {0: (most, 0)}


def test_a_verdict_that_failed_is_no_draw() -> None:
    drawn = base_draws(lambda problems, samples, _: [(samples - 1, 0)], [0], first=4, most=8)
    assert drawn == {0: (6, 0)}


def test_where_a_problem_stood() -> None:
    stood = [Draws("a", 8, right).origin for right in (0, 1, 3, 4, 8)]
    assert stood == [Origin.UNSEEN, Origin.SUPPORT, Origin.SUPPORT, Origin.LIKELY, Origin.LIKELY]


@pytest.mark.parametrize("n", [1, 8, 256])
def test_at_the_upper_bound_no_success_in_n_samples_has_five_percent(n: int) -> None:
    assert (1 - upper_bound(n)) ** n == pytest.approx(0.05)
    assert n < 8 or upper_bound(n) == pytest.approx(3 / n, rel=0.2)  # the rule of three


def test_a_problem_is_solved_by_its_first_k_sampled_answers() -> None:
    samples = [sample("a", 1, True), sample("b", 2, True), sample("b", 0, False), sample("c", 0, True, greedy=True)]
    assert solved(samples, 2) == {"a": True, "b": False}
    assert solved(samples, 3) == {"a": True, "b": True}
    known = {"a": Draws("a", 8, 0), "b": Draws("b", 8, 1), "never asked": Draws("never asked", 8, 0)}
    assert origins(samples, known, 3) == {"a": Origin.UNSEEN, "b": Origin.SUPPORT}
    assert discovered(samples, known, 3) == {"a": 1.0, "b": 0.0}


def drawn_base(rng: np.random.Generator, p: Floats) -> list[Draws]:
    def ask(problems: Sequence[int], samples: int, number: int) -> list[tuple[int, int]]:
        return [(samples, int(rng.binomial(samples, p[problem]))) for problem in problems]

    counts = base_draws(ask, range(len(p)), first=K, most=BUDGET)
    return [Draws(str(problem), drawn, right) for problem, (drawn, right) in counts.items()]


def drawn_samples(rng: np.random.Generator, p: Floats) -> list[Sample]:
    hits = rng.random((len(p), K)) < p[:, None]
    return [sample(str(problem), i, bool(hits[problem, i])) for problem in range(len(p)) for i in range(K)]


def held_against_the_placebo(rng: np.random.Generator, before: Floats, after: Floats, agents: int) -> Discovery:
    """Agents with success probabilities `after` and three seeds each, and a placebo with those of `before`."""
    rows = {f"agent{i}": {seed: drawn_samples(rng, after) for seed in range(3)} for i in range(agents)}
    rows["initial"] = {0: drawn_samples(rng, before)}
    known = discovery(rows, {}, drawn_base(rng, before), k=K, placebo="initial", by_question=lambda values: values)
    assert known is not None
    return known


def probabilities(rng: np.random.Generator, problems: int) -> Floats:
    """Success probabilities from 10^-3 to 1, so that many problems are solved by luck."""
    return np.asarray(10 ** rng.uniform(-3, 0, problems))


def test_a_policy_that_has_not_changed_discovers_nothing() -> None:
    # 120 experiments of two agents that are the initial policy. "Solved and not seen before" is 3 % of all problems:
    # with log p uniform, the mean of (1 - p)^32 (1 - (1 - p)^8) is about log(40 / 32) / log(1000). Its difference
    # from the placebo is 0 on average, and in 95 of 100 experiments (here at least 107, 3 standard errors below 114)
    # both intervals hold 0.
    rng = np.random.default_rng(11)
    gains: list[Contrast] = []
    covered = 0
    for _ in range(120):
        p = probabilities(rng, 150)
        known = held_against_the_placebo(rng, p, p, agents=2)
        each = list(known.gains.values())
        covered += all(gain.low <= 0 <= gain.high for gain in each)
        gains += each
        claims = {claim(gain) for gain in each if gain.low <= 0}
        assert claims <= {"no discovery beyond the placebo shown"}
    assert np.mean([gain.levels[0] for gain in gains]) == pytest.approx(math.log(40 / 32) / math.log(1000), rel=0.1)
    values = np.array([gain.value for gain in gains])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(120)  # the two of one experiment share a placebo
    assert covered >= 107


def test_a_policy_that_discovers_is_detected() -> None:
    # It solves one in two of the problems that the initial policy solves once in 10,000 samples: 30 of 150.
    rng = np.random.default_rng(6)
    detected = 0
    for _ in range(20):
        before = np.concatenate([np.full(30, 1e-4), probabilities(rng, 120)])
        after = np.where(before == 1e-4, np.tile([0.9, 1e-4], 75)[: len(before)], before)
        (gain,) = held_against_the_placebo(rng, before, after, agents=1).gains.values()
        detected += claim(gain).startswith("solves +")
        assert gain.value == pytest.approx(15 / 150, abs=0.06)
    assert detected == 20


def test_sharpening_is_not_discovery() -> None:
    # The agent always solves what the initial policy solves in one of five samples or more, and nothing else.
    rng = np.random.default_rng(7)
    before = np.concatenate([np.full(75, 0.2), np.full(75, 1e-5)])
    known = held_against_the_placebo(rng, before, np.where(before == 0.2, 1.0, 0.0), agents=1)
    assert claim(known.gains["agent0"]) == "no discovery beyond the placebo shown"
    assert known.origins["agent0"][Origin.SUPPORT] > 0
    assert known.origins["agent0"][Origin.UNSEEN] == 0


def test_nothing_is_said_without_a_base_budget_or_a_placebo() -> None:
    rows = {"agent": {0: [sample("a", 0, True)]}}
    without = [discovery(rows, {}, [], k=1, placebo="agent", by_question=lambda v: v)]
    without.append(discovery(rows, {}, [Draws("a", 8, 0)], k=1, placebo="initial", by_question=lambda v: v))
    without.append(discovery(rows, {}, [Draws("a", 0, 0)], k=1, placebo="agent", by_question=lambda v: v))
    assert without == [None, None, None]


def test_how_many_samples_the_winning_texts_would_have_taken() -> None:
    # 1/p_0 is 10, 100, 1,000 and never: the quartiles are 1, 2 and 3 in powers of ten, and two are above 256.
    solved_problems = [SolvedProblem("a", 3, -1.0, -power * math.log(10)) for power in (1, 2, 3, math.inf)]
    found = surprise(solved_problems, 256)
    assert found is not None
    assert found.quartiles == pytest.approx((1, 2, 3))
    assert (found.beyond, found.texts) == (0.5, 4)
    assert surprise([], 256) is None


def chance(text: str, problem: Problem) -> Verdict:
    right = sum(text.encode()) % 3 == 0
    return Verdict(Reason.of(right), text, problem.answer, 0.0)


def test_base_draws_of_a_policy_are_counted_and_share_no_seed_with_its_evaluation() -> None:
    policy = tiny_policy(0)
    task = from_problems([(f"{i}?", "1") for i in range(6)], verifier=chance, test=0.5, max_tokens=160)
    mdp = ReasoningMDP(task(split="test"), policy.tokenizer)
    sampler, problems = make_sampler("torch", policy), range(len(mdp.task.problems))
    draws = base(sampler, mdp, problems, first=4, most=12, seed=3)
    assert draws == base(sampler, mdp, problems, first=4, most=12, seed=3)
    assert [d.problem_id for d in draws] == [mdp.task.problems[i].id for i in problems]
    assert all(d.drawn in ((4, 8, 12) if d.right else (12,)) for d in draws)
    answers = evaluate(sampler, mdp, problems, samples=4, temperature=1.0, seed=3)
    first = base(sampler, mdp, problems, first=4, most=4, seed=3)
    shares = [sum(s.correct for s in answers if s.problem_id == d.problem_id) for d in first]
    assert shares != [d.right for d in first]


def test_what_counts_is_the_question() -> None:
    # Problems a and b ask one question, which is seen through b alone; c is not seen; d is another that is seen.
    base = [Draws("a", 32, 0), Draws("b", 8, 2), Draws("c", 32, 0), Draws("d", 8, 8)]
    asked = {problem: HeldOutProblem(question, "1") for problem, question in zip("abcd", "xxyz", strict=True)}
    rows = {
        "initial": {0: [sample(problem, 0, False) for problem in "abcd"]},
        "agent": {seed: [sample(problem, 0, problem != "d") for problem in "abcd"] for seed in (0, 1)},
    }
    known = discovery(rows, {}, base, k=1, placebo="initial", by_question=lambda values: by_question(values, asked))
    assert known is not None
    assert (known.questions, known.unseen, known.budget) == (3, 1, 32)
    assert known.origins["agent"] == {Origin.SUPPORT: 2, Origin.UNSEEN: 2}  # of each seed x and y
    assert known.gains["agent"].value == pytest.approx(1 / 3)  # y of the three
