from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonenv.core import Group, Role
from reasonenv.experiment.scoring import INITIAL_SAMPLES, initial_logps
from reasonenv.experiment.token_records import RolloutRecorder, pieces, rollouts
from reasonenv.learn.agent import Budget
from reasonenv.learn.evaluation import records
from reasonenv.mdp.make import make_mdp
from reasonenv.measures.parquet import write_records
from reasonenv.measures.rollouts import HELD_OUT, TRAINING, Rollout, read_rollouts
from reasonenv.testing import TabularPolicy, TinyMDP
from reasonenv.tokenizer import byte_tokenizer, char_tokenizer

MDP = TinyMDP(actions=3, horizon=2, reward=lambda r: float(sum(r) == 2))  # (0, 2), (1, 1), (2, 0) are correct


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    tokenizer = byte_tokenizer()  # characters beyond ASCII are several tokens
    ids = tokenizer.encode(text)
    found = pieces(tokenizer, ids)
    assert len(found) == len(ids)
    assert "".join(found) == text


def test_a_character_of_several_tokens_is_the_last_ones() -> None:
    tokenizer = byte_tokenizer()
    assert pieces(tokenizer, [*tokenizer.encode("a→"), tokenizer.eos_id]) == ("a", "", "", "→", "<eos>")
    assert pieces(char_tokenizer("1+"), char_tokenizer("1+").encode("1+1")) == ("1", "+", "1")


def test_log_probabilities_and_entropies_are_those_of_the_policy() -> None:
    policy = TabularPolicy(MDP, seed=3)
    group = MDP.group(policy, [1, 5])
    found = rollouts([group], policy, source="sampled")
    table = policy.theta.detach().double().log_softmax(dim=-1)
    for rollout, index in zip(found, (1, 5), strict=True):
        response = MDP.responses[index]
        rows = [table[MDP.states[response[:t]]] for t in range(2)]
        assert rollout.logps == pytest.approx([float(row[a]) for row, a in zip(rows, response, strict=True)], abs=1e-6)
        assert rollout.entropies == pytest.approx([-float((row.exp() * row).sum()) for row in rows], abs=1e-6)
        assert sum(rollout.rewards) == MDP.reward(response)
    assert [r.correct for r in found] == [sum(MDP.responses[i]) == 2 for i in (1, 5)]


def test_what_the_environment_wrote_has_no_numbers() -> None:
    policy = TabularPolicy(MDP)
    group = MDP.group(policy, [0])
    (t,) = group.trajectories
    told = replace(t, roles=np.array([Role.ENVIRONMENT, Role.POLICY], dtype=np.int8))
    (found,) = rollouts([Group(group.problem, (told,))], policy, source="greedy")
    assert [math.isnan(v) for v in found.logps] == [math.isnan(v) for v in found.rewards] == [True, False]


def test_training_keeps_the_rows_of_its_advantages(tmp_path: Path) -> None:
    # Groups of equal and of mixed answers: the mixed ones come first, six samples are cut to four, and each has the
    # advantage of its own row. Wrong: 0 = (0, 0), 1 = (0, 1). Right: 2 = (0, 2).
    policy = TabularPolicy(MDP)
    groups = [MDP.group(policy, chosen) for chosen in ([0, 0], [0, 2, 0, 1, 2, 2], [2, 2])]
    advantage = torch.arange(10.0)[:, None] + torch.tensor([[0.25, 0.5]])  # [B, T]
    recorder = RolloutRecorder(tmp_path, policy, interval=4, tokens_per_microbatch=64)
    recorder.update(Budget(1, 9), groups, advantage)
    assert not (tmp_path / TRAINING).exists()  # no evaluation follows
    recorder.update(Budget(3, 9), groups, advantage)
    found = read_rollouts(tmp_path)
    assert [r.advantages for r in found] == [(i + 0.25, i + 0.5) for i in (2, 3, 4, 5, 0, 1, 8, 9)]
    assert [r.correct for r in found] == [False, True, False, False, False, False, True, True]
    recorder.update(Budget(8, 9), groups, advantage[:, :1])  # the last iteration; one advantage for a whole response
    assert read_rollouts(tmp_path)[0].advantages == (2.25, 2.25)


def test_rollouts_come_back_as_they_were(tmp_path: Path) -> None:
    policy = TabularPolicy(MDP)
    found = rollouts([MDP.group(policy, [0, 1, 2])], policy, source="sampled")
    write_records(tmp_path / HELD_OUT, Rollout, found)
    assert read_rollouts(tmp_path) == [
        replace(r, **{k: tuple(map(np.float32, getattr(r, k))) for k in ("logps", "entropies", "rewards")})
        for r in found
    ]


def test_samples_bear_both_log_probabilities() -> None:
    policy, initial = TabularPolicy(MDP, seed=1), TabularPolicy(MDP, seed=2)
    groups = [MDP.group(policy, [4] * (INITIAL_SAMPLES + 1)), MDP.group(policy, [7])]
    found = records(groups, _Plain(), greedy=False)  # type: ignore[arg-type]
    logps = initial_logps(groups, initial, tokens_per_microbatch=64)
    after, before = (p.log_likelihood().tolist() for p in (policy, initial))
    assert [s.logp for s in found] == pytest.approx([after[4]] * (INITIAL_SAMPLES + 1) + [after[7]], abs=1e-5)
    assert logps[:INITIAL_SAMPLES] == pytest.approx([before[4]] * INITIAL_SAMPLES, abs=1e-5)
    assert logps[INITIAL_SAMPLES] is None
    assert logps[-1] == pytest.approx(before[7], abs=1e-5)


class _Plain:
    """All that `records` asks of a process is its tokenizer."""

    tokenizer = make_mdp("Chain").tokenizer
