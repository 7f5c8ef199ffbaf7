"""Trees of rollouts: the mean update over every tree that could be drawn is the gradient of E[R], and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reasonenv.agents.rloo import RLOO
from reasonenv.agents.tree import Tree
from reasonenv.core import Group
from reasonenv.learn.agent import Budget
from reasonenv.learn.filters import usable
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.policy import Policy
from reasonenv.rollout.search import roll_out
from reasonenv.sampling import make_sampler
from reasonenv.testing import TabularPolicy, TinyMDP, check_agent, gradients

Branches = tuple[tuple[int, int], ...]
Leaf = tuple[tuple[int, ...], Branches]  # a response, and how the tree leads to it


def grades(response: tuple[int, ...]) -> float:
    """Some reward for every response; none stands out."""
    return (3 * sum(response) + 2 * len(response) + response[0]) % 7 / 7


UNEVEN = TinyMDP(actions=3, horizon=2, reward=grades, stops=True)  # lengths 1 and 2
DEEP = TinyMDP(actions=2, horizon=3, reward=grades)


def tree_agent(mdp: TinyMDP, **numbers: Any) -> Tree:
    return Tree(TabularPolicy(mdp, seed=1), Tree.Config(**numbers))


def trees(mdp: TinyMDP, widths: tuple[int, ...], policy: TabularPolicy) -> Iterator[tuple[float, list[Leaf]]]:
    """Every tree with one token a step, and its chance: each child of a node is drawn by itself."""
    table = policy.theta.detach().double().softmax(dim=-1).numpy()

    def over(prefix: tuple[int, ...]) -> bool:
        return len(prefix) == mdp.horizon or (mdp.stops and prefix[-1:] == (0,))

    def rest(prefix: tuple[int, ...]) -> list[tuple[float, tuple[int, ...]]]:
        """All that may be drawn from a prefix to the end of a response."""
        if over(prefix):
            return [(1.0, prefix)]
        found = []
        for token in range(mdp.actions):
            chance = float(table[mdp.states[prefix], token])
            found += [(chance * other, whole) for other, whole in rest((*prefix, token))]
        return found

    def below(prefix: tuple[int, ...], branches: Branches, level: int) -> list[tuple[float, list[Leaf]]]:
        if level == len(widths) or over(prefix):
            return [(1.0, [(prefix, branches)])]
        children = []
        for number in range(widths[level]):
            path = (*branches, (len(prefix), number))
            drawn = rest(prefix)
            if level + 1 < len(widths):
                drawn = [(float(table[mdp.states[prefix], a]), (*prefix, a)) for a in range(mdp.actions)]
            options = []
            for chance, child in drawn:
                options += [(chance * other, leaves) for other, leaves in below(child, path, level + 1)]
            children.append(options)
        found = []
        for each in product(*children):
            leaves = [leaf for _, part in each for leaf in part]
            found.append((math.prod(chance for chance, _ in each), leaves))
        return found

    yield from below((), (), 0)


def group_of(mdp: TinyMDP, policy: TabularPolicy, leaves: list[Leaf]) -> Group:
    group = mdp.group(policy, [mdp.responses.index(response) for response, _ in leaves])
    rows = [replace(t, branches=path) for t, (_, path) in zip(group.trajectories, leaves, strict=True)]
    return replace(group, trajectories=tuple(rows))


def update(agent: Tree, mdp: TinyMDP, groups: list[Group]) -> Tensor:
    total = torch.zeros_like(agent.policy.theta, dtype=torch.float64)
    for gradient in gradients(agent, groups):
        total -= gradient.double().view_as(total)
    return total


@pytest.mark.parametrize(
    ("mdp", "widths", "count"),
    [
        (UNEVEN, (2, 2), 361),  # a child ends (1) or has two of 3 (2 * 9): 19 ** 2
        (DEEP, (2, 2), 1024),  # a child has two of 4: (2 * 16) ** 2
        (UNEVEN, (3,), 343),  # 7 ** 3 groups of draws
        (UNEVEN, (3, 2), 19**3),
    ],
)
def test_the_mean_update_is_the_gradient_of_the_expected_reward(
    mdp: TinyMDP, widths: tuple[int, ...], count: int
) -> None:
    agent = tree_agent(mdp)
    policy = agent.policy
    assert isinstance(policy, TabularPolicy)
    total, chances, number = torch.zeros_like(policy.theta, dtype=torch.float64), 0.0, 0
    for chance, leaves in trees(mdp, widths, policy):
        total += chance * update(agent, mdp, [group_of(mdp, policy, leaves)])
        chances, number = chances + chance, number + 1
    assert (number, chances) == (count, pytest.approx(1.0))
    (true,) = torch.autograd.grad(mdp.value(policy), policy.theta)
    assert float((total - true.double()).norm() / true.norm()) < 1e-5


def test_the_numbers_of_one_tree_by_hand() -> None:
    """Two children of the root: 0 (ends, R = a) and 1, with leaves 10 (R = b) and 12 (R = c).

    V(1) = (b + c) / 2. A(0) = a - V(1), A(1) = V(1) - a, A(10) = b - c, A(12) = c - b. Weights: 1/2 of the first row,
    1/4 of the others: the first token of the second branch stands in two rows, so it has 1/2 in all.
    """
    agent = tree_agent(UNEVEN)
    a, b, c = (grades(r) for r in ((0,), (1, 0), (1, 2)))
    leaves: list[Leaf] = [((0,), ((0, 0),)), ((1, 0), ((0, 1), (1, 0))), ((1, 2), ((0, 1), (1, 1)))]
    batch = agent.batch([group_of(UNEVEN, agent.policy, leaves)])  # type: ignore[arg-type]
    v = (b + c) / 2
    expected = [[a - v, a - v], [v - a, b - c], [v - a, c - b]]
    torch.testing.assert_close(agent.advantage(batch), torch.tensor(expected))
    torch.testing.assert_close(agent.weights(batch), torch.tensor([[0.5, 0.0], [0.25, 0.25], [0.25, 0.25]]))


def mixed() -> list[Group]:
    policy = TabularPolicy(UNEVEN, seed=1)
    one: list[Leaf] = [((0,), ((0, 0),)), ((1, 0), ((0, 1), (1, 0))), ((1, 2), ((0, 1), (1, 1)))]
    same = [((0, n), (1, m)) for n in range(2) for m in range(2)]
    other: list[Leaf] = list(zip([(2, 0), (2, 1), (2, 0), (2, 2)], same, strict=True))  # two branches, equal by chance
    return [group_of(UNEVEN, policy, one), group_of(UNEVEN, policy, other)]


def test_branches_of_equal_tokens_are_two() -> None:
    agent = tree_agent(UNEVEN)
    advantage = agent.advantage(agent.batch(mixed()))[3:]
    left, right = (np.mean([grades((2, a)) for a in pair]) for pair in ((0, 1), (0, 2)))
    assert advantage[:, 0].tolist() == pytest.approx([left - right] * 2 + [right - left] * 2)


@pytest.mark.parametrize(
    "change", [lambda rows: rows[::-1], lambda rows: [replace(g, trajectories=g.trajectories[::-1]) for g in rows]]
)
def test_neither_order_nor_micro_batches_change_the_gradient_of_trees(change: Callable[..., list[Group]]) -> None:
    whole = update(tree_agent(UNEVEN, tokens_per_microbatch=10**6), UNEVEN, mixed())
    cut = update(tree_agent(UNEVEN, tokens_per_microbatch=1), UNEVEN, change(mixed()))
    torch.testing.assert_close(cut, whole)


def test_where_all_leaves_earn_the_same_nothing_is_taught() -> None:
    equal = []
    for group in mixed():
        rows = [replace(t, rewards=np.full_like(t.rewards, 0.9 / len(t.tokens))) for t in group.trajectories]
        equal.append(replace(group, trajectories=tuple(rows)))
    assert not update(tree_agent(UNEVEN), UNEVEN, equal).any()


def test_a_leaf_that_could_not_be_judged_leaves_its_siblings_without_contrast() -> None:
    one, _ = mixed()
    lost = replace(one.trajectories[2], rewards=np.array([0.0, math.nan], dtype=np.float32))
    agent = tree_agent(UNEVEN)
    batch = agent.batch(usable([replace(one, trajectories=(*one.trajectories[:2], lost))]))
    a, b = grades((0,)), grades((1, 0))
    torch.testing.assert_close(agent.advantage(batch), torch.tensor([[a - b, a - b], [b - a, 0.0]]))


def test_without_forks_it_is_rloo() -> None:
    assert check_agent(Tree, invariant={"shift"}, objective=lambda process, policy: process.value(policy))
    rloo = RLOO(TabularPolicy(UNEVEN, seed=1), RLOO.Config(samples_per_problem=3, beta=0.0))
    group = UNEVEN.group(rloo.policy, [0, 2, 6])  # type: ignore[arg-type]
    (expected,) = gradients(rloo, [group])
    (found,) = gradients(tree_agent(UNEVEN), [group])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("samples", "branches", "widths"),
    [(8, 2, (2, 2, 2)), (3, 2, (3,)), (12, 2, (3, 2, 2)), (216, 6, (6, 6, 6)), (4, 4, (4,)), (6, 2, (3, 2))],
)
def test_the_leaves_are_as_many_as_the_samples(samples: int, branches: int, widths: tuple[int, ...]) -> None:
    assert Tree.Config(samples_per_problem=samples, branches=branches).widths == widths


def test_a_real_iteration_counts_a_shared_step_once(prior: Callable[[], Policy], sums: ReasoningMDP) -> None:
    policy = prior()
    agent = Tree(policy, Tree.Config(samples_per_problem=8))
    rollouts = roll_out(agent.searching, make_sampler("torch", policy), sums, range(8), 8, temperature=1.0, seed=(0,))
    for group, tokens in zip(rollouts.groups, rollouts.tokens, strict=True):
        segments = set()
        for t in group.trajectories:
            assert not t.selected
            starts = [start for start, _ in t.branches]
            for level, (start, end) in enumerate(zip(starts, [*starts[1:], len(t.tokens)], strict=True)):
                segments.add((t.branches[: level + 1], tuple(t.tokens[start:end].tolist())))
        assert tokens == sum(len(part) for _, part in segments)
        assert len({path for path, _ in segments}) == len(segments)  # each drawn once
    assert sum(rollouts.tokens) < sum(len(t.tokens) for g in rollouts.groups for t in g.trajectories)
    metrics = agent.learn(rollouts.groups, Budget(0, 1))
    assert metrics["updates"] == 1
    assert metrics["gap/mean"] < 1e-4  # each token is a draw of the policy, as it was drawn
