"""How often the conclusions of a report are wrong, and how often they see what is there: a simulation with known truth.

    python benchmarks/conclusions.py [--experiments 1000]

An experiment is a suite of six agents on 400 different questions: a row of 0/1 answers for every agent and training
seed, drawn from a model in which questions differ in difficulty, agents differ in which questions suit them, and every
seed moves its agent. It is analysed by the functions that write the report. The table has a row for each number of
seeds and each standard deviation of an agent's accuracy between seeds; "erratic" is one agent of 0.08 among five of
0.02:

    winner     share of experiments with six EQUAL agents whose sentence says that one exceeds another
    fwer       share of them in which any interval excludes the true difference, 0
    coverage   share of single comparisons (a family of one pair) whose 95 % interval holds the true difference
    power      share of experiments in which an agent that is 5 points better is found better than an equal one,
               corrected for all 15 pairs

The last line is one JSON object; but for the last of its figures they are of agents whose seeds vary alike.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, roots_hermitenorm
from tqdm import tqdm

from reasonenv.measures.comparisons import Decision, Family, SeedScores, contrasts
from reasonenv.measures.conclusions import conclude, sentence

AGENTS, QUESTIONS = 6, 400
MARGIN = 0.05
EFFECT = 0.05  # by how much the better agent is better
ACCURACY = 0.6
DIFFICULTY = 2.0  # standard deviations in logits: of questions,
AFFINITY = 0.5  # and of how much a question suits one agent more than another
SEEDS = (3, 5, 8, 10)
TYPICAL = 0.02  # the spread for which the power is asked
# Standard deviation of the accuracy between training seeds, of all agents but the last one and of the last one.
ERRATIC = "erratic"
SPREADS = {"0.01": (0.01, 0.01), "0.02": (TYPICAL, TYPICAL), "0.04": (0.04, 0.04), ERRATIC: (TYPICAL, 0.08)}


@dataclass(frozen=True)
class Outcome:
    """What one experiment with equal agents, and one with a better one, came to."""

    winner: bool
    error: bool
    covered: float
    power: bool


def mean_accuracy(location: float, spread: float) -> float:
    """The expected accuracy of an agent at `location` over all questions and seeds, by Gauss-Hermite quadrature."""
    nodes, weights = roots_hermitenorm(80)
    return float(weights @ expit(location + spread * nodes) / weights.sum())


@cache
def locations(seed_logit: float) -> tuple[float, float]:
    """Of an equal and of the better agent, so that their true accuracies are ACCURACY and ACCURACY + EFFECT."""
    spread = float(np.sqrt(DIFFICULTY**2 + AFFINITY**2 + seed_logit**2))
    equal, better = (
        brentq(lambda x, target=target: mean_accuracy(x, spread) - target, -10, 10)
        for target in (ACCURACY, ACCURACY + EFFECT)
    )
    return float(equal), float(better)


@cache
def seed_logits(spread: float) -> float:
    """The standard deviation in logits of a seed that moves the accuracy by `spread`."""
    width = float(np.sqrt(DIFFICULTY**2 + AFFINITY**2))
    centre = brentq(lambda x: mean_accuracy(x, width) - ACCURACY, -10, 10)
    slope = (mean_accuracy(centre + 0.01, width) - mean_accuracy(centre - 0.01, width)) / 0.02
    return spread / slope


def draw(rng: np.random.Generator, agents: list[tuple[float, float]], seeds: int) -> SeedScores:
    """Agent -> seed -> question -> 0 or 1; each agent has its location and the standard deviation of its seeds."""
    difficulty = rng.normal(0, DIFFICULTY, QUESTIONS)
    scores: dict[str, dict[int, dict[str, float]]] = {}
    for agent, (place, deviation) in enumerate(agents):
        affinity = rng.normal(0, AFFINITY, QUESTIONS)
        rows = {}
        for seed in range(seeds):
            chance = expit(place + difficulty + affinity + rng.normal(0, deviation))
            answers = (rng.random(QUESTIONS) < chance).astype(float)
            rows[seed] = {str(question): float(answer) for question, answer in enumerate(answers)}
        scores[f"agent {agent}"] = rows
    return scores


def experiment(number: int, *, seeds: int, spread: str) -> Outcome:
    """One suite of equal agents and one with a better agent."""
    rng = np.random.default_rng([number, seeds, list(SPREADS).index(spread)])
    logit, last_logit = map(seed_logits, SPREADS[spread])
    equal, better = locations(logit)
    last = (locations(last_logit)[0], last_logit)
    agents = [*[(equal, logit)] * (AGENTS - 1), last]
    scores = draw(rng, agents, seeds)
    initial = {0: next(iter(draw(rng, [(equal, 0.0)], 1).values()))[0]}
    shown = conclude({"initial": initial, **scores}, metric="greedy_accuracy", baseline="initial", margin=MARGIN)
    names = list(scores)
    pairs = [(first, second) for i, first in enumerate(names) for second in names[i + 1 :]]
    together = contrasts(scores, pairs)
    alone = [replace(contrast, family=Family(rows=2, pairs=1)) for contrast in together]
    with_better = contrasts(draw(rng, [(better, logit), *agents[1:]], seeds), pairs)
    return Outcome(
        winner=" exceed" in sentence(shown),
        error=any(contrast.low > 0 or contrast.high < 0 for contrast in together),
        covered=float(np.mean([contrast.low <= 0 <= contrast.high for contrast in alone])),
        power=with_better[0].decision(MARGIN) is Decision.HIGHER,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="How often the conclusions of a report are wrong.")
    parser.add_argument("--experiments", type=int, default=1000, help="a row of the table (default 1000)")
    experiments = parser.parse_args().experiments
    rows: dict[tuple[int, str], list[Outcome]] = {}
    total = len(SEEDS) * len(SPREADS) * experiments
    with ProcessPoolExecutor(os.cpu_count()) as pool, tqdm(total=total, unit=" experiments", dynamic_ncols=True) as bar:
        for seeds in SEEDS:
            for spread in SPREADS:
                run = partial(experiment, seeds=seeds, spread=spread)
                outcomes = rows[seeds, spread] = []
                for outcome in pool.map(run, range(experiments), chunksize=10):
                    outcomes.append(outcome)
                    bar.update()
    print(
        f"{experiments} experiments a row; {AGENTS} agents, {QUESTIONS} questions, {AGENTS * (AGENTS - 1) // 2} pairs"
    )
    print(f"{'seeds':>5} {'seed sd':>8} {'winner':>7} {'fwer':>6} {'coverage':>9} {'power':>6}")
    shares: dict[str, dict[tuple[int, str], float]] = {"winner": {}, "error": {}, "covered": {}, "power": {}}
    for key, outcomes in rows.items():
        for name, table in shares.items():
            table[key] = float(np.mean([getattr(outcome, name) for outcome in outcomes]))
        winner, error, covered, power = (table[key] for table in shares.values())
        print(f"{key[0]:>5} {key[1]:>8} {winner:>7.3f} {error:>6.3f} {covered:>9.3f} {power:>6.3f}")
    alike = [(seeds, spread) for seeds in SEEDS for spread in SPREADS if spread != ERRATIC]
    figures = {"false_winner_rate": max(shares["winner"][key] for key in alike)}
    for seeds in SEEDS[:3]:
        figures[f"fwer_{seeds}"] = max(
            share for key, share in shares["error"].items() if key in alike and key[0] == seeds
        )
    figures |= {
        "coverage_low": min(shares["covered"][key] for key in alike),
        "coverage_high": max(shares["covered"][key] for key in alike),
        "power_5_points_10_seeds": shares["power"][10, str(TYPICAL)],
        "fwer_one_erratic_agent": max(shares["error"][seeds, ERRATIC] for seeds in SEEDS),
    }
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
