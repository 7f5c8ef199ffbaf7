"""DAPO minds the length of a response, and chooses its groups by the verdict all the same."""

from __future__ import annotations

import pytest

from reasonenv.agents.dapo import DAPO, DAPOConfig
from reasonenv.core import Group
from reasonenv.learn.filters import nonconstant
from reasonenv.mdp.rewards import overlong_cost
from reasonenv.policy.policy import Policy


def test_overlong_is_the_line_of_the_paper() -> None:
    # Lmax 20480, cache 4096: nothing up to 16384, a quarter of the cache later -1/4, all of it -1, and no more
    lengths = [1, 16384, 17408, 20480, 30000]
    assert [overlong_cost(length, limit=20480) for length in lengths] == [0, 0, -0.25, -1, -1]


def test_dapo_tells_right_answers_apart_by_their_length_and_keeps_groups_by_the_verdict(
    policy: Policy, groups: list[Group]
) -> None:
    # the last group is all right: shaped rewards may differ there, and still it is not kept
    agent = DAPO(policy, DAPOConfig(longest=int(max(len(t.tokens) for t in groups[2].trajectories))))
    assert agent.keep(groups) == nonconstant(groups) == groups[:2]
    batch = agent.batch(groups[1:2])
    right, cut = batch.length[0], batch.length[3]
    assert right < cut
    short = DAPO(policy, DAPOConfig(longest=int(cut)))
    plain = DAPO(policy, DAPOConfig(longest=10**6))
    # [1, 0, 0, 0] becomes [1, 0, 0, -1/2]: the cut answer lies below its siblings, all others above where they were
    assert plain.advantage(batch)[1:, 0].tolist() == pytest.approx([-0.5] * 3, abs=1e-5)
    found = short.advantage(batch)[:, 0]
    # mean 1/8, squares .875^2 + 2 * .125^2 + .625^2 = 1.1875, std sqrt(1.1875 / 3) = 0.629153
    assert found.tolist() == pytest.approx([1.390759, -0.198680, -0.198680, -0.993399], abs=1e-5)
