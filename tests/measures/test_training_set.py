"""What was imitated, against the reference solutions: one solution a question on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonenv.measures.training_set import Form, Solution, form, form_scores, set_diversity

FORMS = st.sampled_from([("n+n=n",), ("n-n=n",), ("n*n=n", "n+n=n")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7+5=12\n12*3=36\n#### 36", ("n+n=n", "n*n=n")),
        ("So $1,200 + 5.5 = 1205.5", ("n+n=n",)),
        ("-3+5=2\n2*-4=-8", ("n+n=n", "n*n=n")),  # signs belong to numbers
        ("(8-3)-4=1", ("(n-n)-n=n",)),
        ("it is twelve", ()),
    ],
)
def test_a_form_is_the_operations_without_their_numbers(text: str, expected: Form) -> None:
    assert form(text) == expected


@given(st.lists(st.lists(FORMS, min_size=1, max_size=3), min_size=2, max_size=5))
def test_the_mean_score_is_the_chance_that_two_questions_have_different_forms(grouped: list[list[Form]]) -> None:
    # All pairs of questions, and of each every pair of their solutions with equal weight.
    chances = []
    for i, first in enumerate(grouped):
        for j, second in enumerate(grouped):
            if i != j:
                chances.append(np.mean([a != b for a in first for b in second]))
    scores = form_scores({str(i): forms for i, forms in enumerate(grouped)})
    assert np.mean(list(scores.values())) == pytest.approx(np.mean(chances))
    assert all(-1 <= score <= 2 for score in scores.values())


def solutions(question: int, texts: list[str], *, reference: bool = False) -> list[Solution]:
    return [Solution(f"p{question}", f"q{question}", reference, True, text) for text in texts]


def test_sets_are_compared_on_the_questions_that_all_have_solved() -> None:
    # References: + - +. One agent has found both forms of every question, another none of the third question.
    steps = ("3+2=5", "3-2=1", "3+2=5")
    references = [s for i, step in enumerate(steps) for s in solutions(i, [step], reference=True)]
    both = [s for i in range(3) for s in solutions(i, ["3+2=5", "3-2=1"])]
    some = [s for s in both if s.question != "q2"]
    first, second = set_diversity({"ei": {0: [*both, *references]}, "rcrl": {0: [*some, *references]}})
    assert (first.agent, second.agent) == ("ei", "rcrl")
    assert first.contrast.questions == second.contrast.questions == 2
    # On questions 0 and 1 the references differ for certain, and found solutions in one of two cases.
    assert first.contrast.levels == second.contrast.levels == (pytest.approx(0.5), pytest.approx(1.0))
    assert first.solutions == 2


def test_wrong_solutions_and_false_steps_are_in_no_set() -> None:
    good = [s for i in range(2) for s in solutions(i, ["3+2=5"])]
    references = [s for i in range(2) for s in solutions(i, ["3+2=5"], reference=True)]
    bad = [*solutions(0, ["3-2=2"]), Solution("p0", "q0", False, False, "3*2=6")]
    (found,) = set_diversity({"ei": {0: [*good, *bad, *references]}})
    assert (found.solutions, found.contrast.levels) == (1, (0, 0))


def test_without_two_shared_questions_nothing_is_compared() -> None:
    assert set_diversity({}) == []
    assert set_diversity({"ei": {0: [*solutions(0, ["1+1=2"]), *solutions(0, ["1+1=2"], reference=True)]}}) == []


def test_a_set_like_the_references_is_not_more_diverse() -> None:
    # Found solutions come from the distribution of the references: three forms, one a question on the one side and up
    # to three on the other. In 200 experiments the interval holds 0 in 181 or more (95 % less 3 standard errors).
    rng = np.random.default_rng(3)
    texts, chances = ["3+2=5", "3-2=1", "3*2=6"], [0.7, 0.2, 0.1]

    def drawn(question: int, count: int, *, reference: bool = False) -> list[Solution]:
        return solutions(question, [str(t) for t in rng.choice(texts, count, p=chances)], reference=reference)

    covered, differences = 0, []
    for _ in range(200):
        references = [s for i in range(60) for s in drawn(i, 1, reference=True)]
        sets = {}
        for seed in range(3):
            sets[seed] = [*references, *(s for i in range(60) for s in drawn(i, int(rng.integers(1, 4))))]
        (each,) = set_diversity({"ei": sets})
        covered += each.contrast.low <= 0 <= each.contrast.high
        differences.append(each.contrast.value)
    assert covered >= 181
    assert abs(np.mean(differences)) < 4 * np.std(differences) / np.sqrt(200)
