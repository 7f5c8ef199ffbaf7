from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reasonenv.errors import UserError
from reasonenv.experiment.scoring import solved_problems
from reasonenv.measures.provenance import SolvedProblem, read_solved, write_solved
from reasonenv.testing import TabularPolicy, TinyMDP


def test_a_win_is_the_most_probable_correct_response_under_both_policies() -> None:
    mdp = TinyMDP(actions=3, horizon=2, reward=lambda r: float(sum(r) == 2))  # (0, 2), (1, 1), (2, 0) are correct
    initial, trained = TabularPolicy(mdp, seed=0), TabularPolicy(mdp, seed=1)
    group = mdp.group(trained, range(len(mdp.responses)))
    (win,) = solved_problems([group], initial, tokens_per_microbatch=64)
    right = [i for i, response in enumerate(mdp.responses) if sum(response) == 2]
    after, before = (policy.log_likelihood().detach() for policy in (trained, initial))
    best = right[int(torch.argmax(after[right]))]
    assert win.tokens == 2
    assert win.logp == pytest.approx(float(after[best]), abs=1e-5)
    assert win.initial_logp == pytest.approx(float(before[best]), abs=1e-5)


def test_without_a_correct_response_there_is_no_win() -> None:
    mdp = TinyMDP(actions=2, horizon=1, reward=lambda r: 0.0)
    policy = TabularPolicy(mdp)
    assert solved_problems([mdp.group(policy, [0, 1])], policy, tokens_per_microbatch=64) == []


def test_wins_are_stored_as_they_are(tmp_path: Path) -> None:
    found = [SolvedProblem("a", 3, -0.25, -7.5), SolvedProblem("b", 1, -1e-7, -80.0)]
    write_solved(tmp_path / "winning.jsonl", found)
    assert read_solved(tmp_path / "winning.jsonl") == found
    (tmp_path / "winning.jsonl").write_text('{"problem_id": "a"}\n')
    with pytest.raises(UserError, match=r"winning.jsonl:1: not a winning solution"):
        read_solved(tmp_path / "winning.jsonl")
