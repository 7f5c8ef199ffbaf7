"""Where code bases disagree, each agent's choice by number: ddof and eps of its scale, its baseline, its divisor."""

from __future__ import annotations

import pytest
import torch

from reasonenv.catalog import AGENTS, find_agent
from reasonenv.core import Batch
from reasonenv.learn.policy_gradient import PolicyGradient
from reasonenv.testing import TabularPolicy, TinyMDP

LENGTHS = [3, 2, 4, 1, 2, 4, 3, 2]  # 21 tokens, 10 of them in the first group
RIGHT = [1, 0, 0, 1, 1, 0, 0, 0]

# the advantage of a right and a wrong answer, where half of four are right and where one is
ZSCORE = (0.866024, -0.866024, 1.499997, -0.499999)  # ddof 1, 1e-6 added to the std
CENTRED = (0.5, -0.5, 0.75, -0.25)
RELATIVE = (1.0, -1.0, 3.0, -1.0)  # over the mean
ADVANTAGES = {
    "reinforce": (1.0, 0.0, 1.0, 0.0),
    "rloo": (0.666667, -0.666667, 1.0, -0.333333),
    "tree": (0.666667, -0.666667, 1.0, -0.333333),  # without forks
    "grpo": ZSCORE,
    "grpo_process": ZSCORE,  # one step an answer
    "dapo": ZSCORE,
    "cispo": ZSCORE,
    "gspo": ZSCORE,
    "dr_grpo": CENTRED,
    "dppo": CENTRED,
    "maxrl": RELATIVE,
    "tailrl": RELATIVE,
    "scalerl": (1.069045, -1.069045, 1.603567, -0.534522),  # over the batch's std, ddof 0
    "reinforce_pp": (1.543033, -0.617213, 1.543033, -0.617213),  # over tokens, ddof 1
    "reinforce_pp_baseline": (1.297632, -0.926880, 1.853760, -0.370752),
}
# what divides the first token, of an answer of 3
DENOMINATORS = {
    **dict.fromkeys(("dapo", "cispo", "maxrl", "tailrl"), 21),  # tokens of the batch
    **dict.fromkeys(("grpo", "grpo_process", "gspo", "reinforce_pp", "reinforce_pp_baseline"), 8 * 3),  # B |o|
    **dict.fromkeys(("reinforce", "rloo", "tree"), 8),  # B
    **dict.fromkeys(("dr_grpo", "dppo"), 8 * 256),  # B Lmax, with the 1 / B
    "scalerl": 2 * 10,  # N, and the tokens of the group
}


@pytest.fixture
def batch() -> Batch:
    mask = (torch.arange(4) < torch.tensor(LENGTHS)[:, None]).float()
    last = torch.nn.functional.one_hot(torch.tensor(LENGTHS) - 1, 4).float()
    blank, group = torch.zeros(8, 4), torch.tensor([0] * 4 + [1] * 4)
    return Batch(
        tokens=torch.zeros(8, 5, dtype=torch.int64),
        prompt_length=torch.ones(8, dtype=torch.int64),
        length=torch.tensor(LENGTHS),
        mask=mask,
        sampled_logp=blank,
        old_logp=blank,
        rewards=last * torch.tensor(RIGHT)[:, None],
        discount=mask,
        group=group,
        versions=torch.zeros_like(mask).long(),
        ends=last,
    )


@pytest.mark.parametrize("name", ADVANTAGES)
def test_the_conventions_of_each_agent_on_the_worked_example(name: str, batch: Batch) -> None:
    kind = find_agent(name)
    agent = kind(TabularPolicy(TinyMDP(actions=2, horizon=4, reward=float)))
    found = agent.advantage(batch)[:, 0].tolist()
    half_right, half_wrong, one_right, one_wrong = ADVANTAGES[name]
    expected = [half_right, half_wrong, half_wrong, half_right, one_right, one_wrong, one_wrong, one_wrong]
    assert found == pytest.approx(expected, abs=6e-7)
    assert 1 / float(agent.weights(batch)[0, 0]) == pytest.approx(DENOMINATORS[name])


def test_every_group_relative_agent_has_its_row() -> None:
    relative = {
        n for n in AGENTS if issubclass(find_agent(n), PolicyGradient) and find_agent(n).Config.least_samples > 1
    }
    assert relative <= ADVANTAGES.keys() == DENOMINATORS.keys()
