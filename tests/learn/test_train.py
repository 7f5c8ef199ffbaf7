"""The figures of an iteration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reasonenv.core import Group, Reason
from reasonenv.learn.train import describe


def test_what_could_not_be_checked_is_no_wrong_answer(groups: list[Group]) -> None:
    # of twelve answers 2 + 1 + 4 are right; the two wrong ones of the first group are lost, so ten were judged
    right, wrong = groups[0].trajectories[:2], groups[0].trajectories[2:]
    lost = tuple(replace(t, verdict=replace(t.verdict, reason=Reason.ERROR)) for t in wrong)
    found = describe([replace(groups[0], trajectories=(*right, *lost)), *groups[1:]])
    assert found["accuracy"] == pytest.approx(0.7)
    assert found["verifier_errors"] == pytest.approx(2 / 12)
    assert found["groups/mixed"] == pytest.approx(1 / 3)  # the first group now has right answers alone


def test_a_reward_that_is_not_finite_is_counted_and_in_no_mean(groups: list[Group]) -> None:
    # 7 of 12 answers earn 1; one of those becomes infinite
    first = groups[0].trajectories[0]
    broken = replace(first, rewards=np.full_like(first.rewards, np.inf))
    found = describe([replace(groups[0], trajectories=(broken, *groups[0].trajectories[1:])), *groups[1:]])
    assert found["rewards/invalid"] == pytest.approx(1 / 12)
    assert found["reward"] == pytest.approx(6 / 11)
