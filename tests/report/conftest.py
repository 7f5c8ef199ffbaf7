"""Writes a suite folder as the suite runner does, from a small model of learning: skills rise, answers follow."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reasonenv.measures.discovery import BASE, Draws
from reasonenv.measures.parquet import write_records
from reasonenv.measures.provenance import SolvedProblem, write_solved
from reasonenv.measures.rollouts import HELD_OUT, TRAINING, Rollout
from reasonenv.measures.samples import Sample, write_samples
from reasonenv.measures.training_set import TRAINING_SET, Solution
from reasonenv.report import write_report

SKILL = {"prior": 0.0, "ei": 0.55, "grpo": 1.1}  # logits above the prior at the end of training
ITERATIONS, ROLLOUTS = 30, 512
SEEDS = (0, 1, 2, 3)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished suite with its report; tests read it and do not change it."""
    folder = write_suite(tmp_path_factory.mktemp("finished"))
    write_report(folder)
    return folder


@pytest.fixture
def small_suite(tmp_path: Path) -> Callable[..., Path]:
    """Makes a small suite that a test may damage."""
    return lambda **options: write_suite(tmp_path / "suite", **{"problems": 20, "drawn": 4, **options})


@pytest.fixture(scope="session")
def new_cell() -> Callable[..., None]:
    return write_cell


@pytest.fixture(scope="session")
def copy_cells() -> Callable[..., None]:
    """Doubles a suite: each cell once more, in another setting."""

    def copy(folder: Path, **changes: Any) -> None:
        suite = json.loads((folder / "suite.json").read_text())
        for name in list(suite["cells"]):
            agent, seed = name.split("-")
            cell = shutil.copytree(folder / "cells" / name, folder / "cells" / f"{agent}-other-{seed}")
            write_cell(cell, agent=agent, seed=int(seed), **changes)
            suite["cells"].append(cell.name)
        (folder / "suite.json").write_text(json.dumps(suite))

    return copy


def write_suite(
    folder: Path, *, seeds: tuple[int, ...] = SEEDS, problems: int = 120, drawn: int = 16, hostile: str = ""
) -> Path:
    """A finished suite: every seed of every agent from one prior; `hostile` ends what every policy writes."""
    folder.mkdir(parents=True, exist_ok=True)
    suite = {
        "name": "quickstart",
        "title": "Can two agents teach a tiny model to chain sums?",
        "description": "A 0.5 M parameter model learns Chain from reference solutions, then from its own answers.",
        "baseline": "prior",
        "command": "reasonenv bench run quickstart",
        "ks": [1, 2, 4, 8, 16],
        "margin": 0.05,
        "versions": {"reasonenv": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
        "hardware": "2 cores, 24 GiB",
        "seconds": 431.5,
        "cells": [f"{agent}-{seed}" for agent in SKILL for seed in (seeds if agent != "prior" else seeds[:1])],
    }
    (folder / "suite.json").write_text(json.dumps(suite))
    easy = np.random.default_rng(7).normal(0.2, 1.6, problems)  # what each problem asks, the same for every cell
    with (folder / "problems.jsonl").open("w") as file:
        for i in range(problems):
            file.write(json.dumps({"id": _id(i), "question": _question(i), "answer": str(_gold(i))}) + "\n")
    for agent, skill in SKILL.items():
        for seed in seeds if agent != "prior" else seeds[:1]:
            rng = np.random.default_rng([seed, len(agent)])
            cell = folder / "cells" / f"{agent}-{seed}"
            trained = agent != "prior"
            write_cell(cell, agent=agent, seed=seed, rollouts=ITERATIONS * ROLLOUTS if trained else 0)
            samples = _samples(rng, easy + skill, drawn, hostile)
            write_samples(cell / "evaluation.parquet", samples)
            held_out = [_rollout(s, "greedy" if s.greedy else "sampled") for s in samples[: 24 * (drawn + 1)]]
            write_records(cell / HELD_OUT, Rollout, [r for r in held_out if r.index < 2])
            environment = {
                "versions": {"torch": "2.13.0"},
                "hardware": "2 cores",
                "threads": 1,
                "data": {"test": "c0ffee"},
            }
            (cell / "environment.json").write_text(json.dumps(environment))
            if trained:
                training = [_rollout(s, "training") for s in samples[:drawn]]
                write_records(cell / TRAINING, Rollout, training[:4])
            if not trained:  # of the hard problems, a budget of 64 samples shows little or nothing
                chances = 1 / (1 + np.exp(-easy))
                draws = [Draws(_id(i), 64, int(rng.binomial(64, p))) for i, p in enumerate(chances)]
                write_records(cell / BASE, Draws, draws)
            if agent == "ei":
                write_records(cell / TRAINING_SET, Solution, _training_set())
            if trained:  # every third problem is solved, at a cost that grows with its number
                write_solved(
                    cell / "winning.jsonl", [SolvedProblem(_id(i), 30, -2.0, -2.0 - i) for i in range(0, problems, 3)]
                )
            (cell / "metrics.jsonl").write_text(_training(rng, skill) if trained else "")
    return folder


def write_cell(folder: Path, *, agent: str, seed: int, **changes: Any) -> None:
    """One `cell.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "agent": agent,
        "env": "reasonenv/Chain-Response-v0",
        "policy": "tiny",
        "init": "sft",
        "variant": "",
        "seed": seed,
        "hash": "0" * 16,
        "status": "done",
        "error": None,
        "rollouts": 0,
        "tokens": 900_000,
        "updates": 30,
        "seconds": 61.5,
    }
    (folder / "cell.json").write_text(json.dumps({**record, **changes}))


def _id(i: int) -> str:
    return f"chain-test-{i:03d}"


def _gold(i: int) -> int:
    return (3 + i % 7) * (2 + i % 3) + i % 9


def _question(i: int) -> str:
    return f"Start with {3 + i % 7}. Multiply by {2 + i % 3}. Add {i % 9}. What is result number {i}?"


def _samples(rng: np.random.Generator, logits: Any, drawn: int, hostile: str) -> list[Sample]:
    samples = []
    for i, logit in enumerate(logits):
        for index in range(drawn + 1):
            greedy = index == drawn
            right = logit > 0 if greedy and abs(logit) > 0.7 else rng.random() < 1 / (1 + np.exp(-logit))
            silent = not right and rng.random() < 0.12
            odd = not right and not silent and rng.random() < 0.08
            shown = _gold(i) if right else _gold(i) + int(rng.integers(1, 4))
            answer = "" if silent else f"\n#### {'twelve' if odd else shown}"
            product = (3 + i % 7) * (2 + i % 3)
            samples.append(
                Sample(
                    problem_id=_id(i),
                    index=0 if greedy else index,
                    greedy=greedy,
                    correct=bool(right),
                    reason="correct" if right else "no_answer" if silent else "unparsable_answer" if odd else "wrong",
                    extracted=None if silent else "twelve" if odd else str(shown),
                    canonical=None if silent else "text:twelve" if odd else str(shown),
                    length=int(rng.integers(18, 40)) if answer else 64,
                    truncated=silent,
                    logp=None if greedy else -4.0 + logit,
                    initial_logp=-5.0 if not greedy and index < 4 else None,
                    text=f"{3 + i % 7} * {2 + i % 3} = {product}\n{product} + {i % 9} = {shown}{answer}{hostile}",
                )
            )
    return samples


def _training_set() -> list[Solution]:
    """Two found solutions of each of six questions, one of which holds a false step, and the reference."""
    solutions = []
    for i in range(6):
        product = (3 + i) * 2
        texts = [f"{3 + i}*2={product}\n{product}+1={product + 1}", f"{3 + i}+{3 + i}={product}", "1+1=3\n3+1=3"]
        solutions += [Solution(f"train-{i}", _question(i), False, True, text) for text in texts]
        solutions.append(Solution(f"train-{i}", _question(i), True, True, texts[i % 2]))
    return solutions


def _rollout(s: Sample, source: str) -> Rollout:
    """Tokens are words and what is between them; the last one earns the reward."""
    tokens = tuple(re.findall(r"\s|\S{1,3}", s.text, re.DOTALL))
    n = len(tokens)
    return Rollout(
        source=source,
        problem_id=f"train-{s.problem_id}" if source == "training" else s.problem_id,
        question=_question(int(s.problem_id[-3:])),
        gold=str(_gold(int(s.problem_id[-3:]))),
        index=s.index,
        correct=s.correct,
        reason=s.reason,
        extracted=s.extracted,
        truncated=s.truncated,
        tokens=tokens,
        rewards=(*(0.0,) * (n - 1), float(s.correct)),
        logps=tuple(-0.5 * (i % 7) for i in range(n)),
        entropies=tuple(0.25 * (i % 5) for i in range(n)),
        advantages=((1.0 if s.correct else -1.0),) * n if source == "training" else None,
    )


def _training(rng: np.random.Generator, skill: float) -> str:
    rows = []
    for step in range(1, ITERATIONS + 1):
        level = 1 / (1 + np.exp(-0.1 - skill * (1 - np.exp(-step / 10))))
        row = {
            "iteration": step,
            "rollouts": step * ROLLOUTS,
            "tokens": step * 30_000,
            "updates": step,
            "seconds": 2.0 * step,
            "reward": float(level + rng.normal(0, 0.02)),
            "accuracy": float(level),
            "entropy": float(0.5 * np.exp(-skill * step / 20) + rng.normal(0, 0.01)),
            "truncated": 0.05,
        }
        if step % 5 == 0 or step == 1:
            row["eval/greedy_accuracy"] = float(level + rng.normal(0, 0.015))
        rows.append(json.dumps(row) + "\n")
    return "".join(rows)
