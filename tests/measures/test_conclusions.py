from __future__ import annotations

import numpy as np
import pytest

from reasonenv.measures.comparisons import SeedScores
from reasonenv.measures.conclusions import SATURATED, Conclusions, ceiling, conclude, joint, sentence

QUESTIONS, SEEDS = 500, 6


def rows(seed_spread: float = 0.0, **levels: float) -> SeedScores:
    """Agent -> seed -> question -> score around a level; `initial` has one seed."""
    rng = np.random.default_rng(0)
    scores = {}
    for name, level in levels.items():
        seeds = {}
        for seed in range(1 if name == "initial" else SEEDS):
            values = level + rng.normal(0, seed_spread) + rng.normal(0, 0.05, QUESTIONS)
            seeds[seed] = {f"q{i}": float(v) for i, v in enumerate(np.clip(values, 0, 1))}
        scores[name] = seeds
    return scores


def decided(metric: str = "greedy_accuracy", seed_spread: float = 0.0, **levels: float) -> Conclusions:
    saturation = SATURATED if "@" in metric else None
    scores = rows(seed_spread, **levels)
    return conclude(scores, metric=metric, baseline="initial", margin=0.05, saturation=saturation)


def test_the_sentence_names_each_agent_once_and_each_relation_in_its_words() -> None:
    text = sentence(decided(initial=0.5, ei=0.7, ppo=0.5, sft=0.3))
    assert text.startswith("Greedy accuracy on 500 questions, 6 training seeds an agent, all 6 pairs judged at once: ")
    assert "ei is above initial (ei +" in text
    assert "sft is below initial (sft −" in text.replace("-", "−")
    assert "ppo is equal to initial within ±5 points" in text
    assert "; ei exceeds ppo and sft; ppo exceeds sft." in text
    assert text.endswith(".")


def test_agents_that_exceed_the_same_ones_are_named_together() -> None:
    text = sentence(decided(initial=0.5, a=0.7, b=0.7, c=0.3))
    assert "; a and b exceed c; equal within ±5 points: " in text


def test_equal_within_the_margin_is_said_of_agents_and_of_the_baseline() -> None:
    text = sentence(decided(initial=0.5, a=0.5, b=0.5))
    assert "a and b are equal to initial within ±5 points" in text
    assert "equal within ±5 points: " in text


def test_an_undecided_pair_says_how_many_seeds_would_decide() -> None:
    text = sentence(decided(seed_spread=0.08, initial=0.5, a=0.5, b=0.52))
    assert "undecided against initial" in text
    assert "seeds would find a difference of 5 points four times in five" in text
    assert "exceeds" not in text


def test_too_few_questions_are_named_as_the_obstacle() -> None:
    scores = rows(initial=0.5, a=0.5)
    few = {name: {s: dict(list(q.items())[:4]) for s, q in seeds.items()} for name, seeds in scores.items()}
    for seeds in few.values():
        for values in seeds.values():
            values["q0"], values["q1"] = 0.0, 1.0
    few["a"] = {s: {"q0": 1.0, "q1": 0.0, "q2": 0.9, "q3": 0.1} for s in range(SEEDS)}
    text = sentence(conclude(few, metric="greedy_accuracy", baseline="initial", margin=0.05))
    assert "no number of seeds would find 5 points on so few questions" in text


def test_one_training_seed_names_no_winner_however_large_the_difference() -> None:
    scores = {name: {0: seeds[0]} for name, seeds in rows(initial=0.1, a=0.9, b=0.5).items()}
    text = sentence(conclude(scores, metric="greedy_accuracy", baseline="initial", margin=0.05))
    assert "a and b are undecided against initial" in text
    assert "one training seed each; other seeds are unknown, run at least 5" in text
    assert "exceeds" not in text


def test_rows_that_are_no_agents_are_in_no_pair() -> None:
    scores = rows(initial=0.5, a=0.7, best_of_k=0.9)
    conclusions = conclude(scores, metric="greedy_accuracy", baseline="initial", references=["best_of_k"], margin=0.05)
    assert [(c.first, c.second) for c in conclusions.pairs] == [("a", "initial")]


@pytest.mark.parametrize(
    ("greedy", "at_k", "said"),
    [
        (0.7, 0.9, "a: greedy accuracy and pass@96 both rise"),
        (0.7, 0.6, "a: greedy accuracy rises and pass@96 falls"),
        (0.3, 0.6, "a: greedy accuracy and pass@96 both fall"),
        (0.7, 0.8, "a: no joint movement of greedy accuracy and pass@96 is shown"),
    ],
)
def test_a_joint_statement_needs_both_of_its_parts(greedy: float, at_k: float, said: str) -> None:
    assert joint(decided(initial=0.5, a=greedy), decided("pass@96", initial=0.8, a=at_k)) == [said]


def test_a_ceiling_is_claimed_from_the_upper_end_of_the_interval() -> None:
    assert ceiling(decided("pass@96", initial=0.8, a=0.8))[0].startswith(
        "pass@96 of a: does not pass initial by 5 points (at most +"
    )
    assert "passes initial by +10" in ceiling(decided("pass@96", initial=0.8, a=0.9))[0]
    wide = decided("pass@96", seed_spread=0.1, initial=0.8, a=0.8)
    assert "may or may not pass initial by 5 points" in ceiling(wide)[0]


def test_a_saturated_k_decides_nothing() -> None:
    conclusions = decided("pass@96", initial=1.0, a=1.0)
    assert "saturated: both above 97 %, so this metric decides nothing" in sentence(conclusions)
    assert "saturated, this k decides nothing" in ceiling(conclusions)[0]
    fallen = decided("pass@96", initial=1.0, a=0.6)  # a fall can be seen from any height
    assert "a is below initial" in sentence(fallen)
