"""The rows that learn nothing: what each takes for its answer, and what a run of them leaves."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from reasonenv.agents.best_of_k import BestOfK
from reasonenv.agents.majority import Majority
from reasonenv.agents.random_tokens import RandomTokens
from reasonenv.core import Completion, Verdict
from reasonenv.errors import UserError
from reasonenv.experiment.config import describe_run
from reasonenv.experiment.train import train
from reasonenv.learn.agent import Agent
from reasonenv.learn.baseline import Baseline, BaselineConfig
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.measures.metrics import summarise
from reasonenv.measures.samples import read_samples
from reasonenv.policy.policy import Policy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.sampling import make_sampler
from reasonenv.sampling.sampler import Sampling

ENV = "reasonenv/Chain-Response-v0"
EASY = {"operands": 2, "operators": "+", "size": 16, "max_tokens": 16, "eval_problems": 8, "eval_samples": 2}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return tiny_policy(0)


@pytest.fixture(scope="module")
def mdp() -> ReasoningMDP:
    return make_mdp("Chain", size=4, operands=2, operators="+")


def verdicts(mdp: ReasoningMDP, *texts: str) -> list[Verdict]:
    rows = [np.array([*mdp.tokenizer.encode(text), mdp.tokenizer.eos_id]) for text in texts]
    blank = np.zeros(mdp.max_tokens, dtype=np.float32)
    return [mdp.trajectory(0, Completion(row, blank[: len(row)], "eos", np.zeros_like(row), 0)).verdict for row in rows]


def test_the_majority_counts_values_and_silence_does_not_vote(mdp: ReasoningMDP) -> None:
    drawn = verdicts(mdp, "no", "#### 90", "#### 91.0", "no", "#### 91", "no", "#### 90", "#### 91")
    assert Majority.choose(drawn) == 2
    assert Majority.choose(drawn[:4]) == 1  # of tied answers the first
    assert Majority.choose(verdicts(mdp, "no", "none")) == 0


def test_the_best_of_k_is_right_if_any_is(mdp: ReasoningMDP) -> None:
    gold = mdp.task.problems[0].answer
    drawn = verdicts(mdp, "#### 999", f"#### {gold}", "no")
    assert BestOfK.choose(drawn) == 1
    assert BestOfK.choose(drawn[::2]) == 0


def test_random_tokens_are_uniform_and_say_so(policy: Policy, mdp: ReasoningMDP) -> None:
    agent = RandomTokens(policy)
    sampler = agent.sampler(make_sampler("torch", policy))
    size, eos = policy.tokenizer.vocab_size, policy.tokenizer.eos_id
    (found,) = sampler.generate(mdp.prompts[:1], [list(range(400))], Sampling(64, temperature=0.0))
    counts = Counter(token for c in found for token in c.tokens.tolist())
    assert len(counts) == size  # about 90 of each
    assert max(counts.values()) < 3 * min(counts.values())
    assert all(np.allclose(c.logprobs, -np.log(size)) for c in found)
    # EOS comes with chance 1/257 a token, so 1 - (256/257)^64 = 22 % of the responses end in time
    assert sum(c.stop == "eos" for c in found) / 400 == pytest.approx(0.22, abs=0.06)
    assert all((c.tokens[-1] == eos) == (c.stop == "eos") and (c.stop == "eos" or len(c.tokens) == 64) for c in found)


@pytest.mark.parametrize("name", ["random_tokens", "majority", "best_of_k"])
def test_a_run_leaves_what_a_table_needs(name: str, tmp_path: Path) -> None:
    run = describe_run(name, ENV, EASY, policy="tiny", iterations=1)
    summary = train(run, tmp_path / "run", quiet=True)
    assert (summary["rollouts"], summary["updates"], summary["problems"]) == (0, 0, 8)
    assert not (tmp_path / "run" / "policy").exists()  # nothing was trained
    found = read_samples(tmp_path / "run" / "evaluation.parquet")
    figures = summarise(found, [2])
    assert figures["greedy_accuracy"].value == summary["after"]
    assert {"avg@2", "pass@2"} <= figures.keys()
    before = read_samples(tmp_path / "run" / "evaluations" / "000000.parquet")
    assert [s.problem_id for s in before] == [s.problem_id for s in found if s.greedy]
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary


def test_bad_numbers_are_named() -> None:
    with pytest.raises(UserError, match="samples_per_problem is 0; it must be at least 1"):
        BaselineConfig(samples_per_problem=0)
    with pytest.raises(UserError, match="unknown key 'lr'"):
        describe_run("majority", ENV, {"lr": 1e-3})
    assert not issubclass(Baseline, Agent)
