"""Advantage estimators: what each sequence earned, against its siblings. Pure functions, computed in float64.

Three conventions hold for every one of them: a group whose rewards are all equal has advantage exactly 0, found by
max - min because equal float32 rewards need not cancel in a standard deviation; so has a group of one; and a reward
that is not finite is no sibling and has advantage 0. Below, r are the rewards of one group of G samples.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reasonenv.errors import UserError
from reasonenv.mdp.rewards import overlong_cost

EQUAL = 1e-6  # rewards of a group that lie this close together are the same reward


def per_group(rewards: Tensor, group: Tensor, estimate: Callable[[Tensor], Tensor]) -> Tensor:
    """`estimate` of the rewards [G] of each group, 0 where a group has nothing to tell.  # [B], [B] -> [B]"""
    assert rewards.shape == group.shape, f"rewards {tuple(rewards.shape)} and group {tuple(group.shape)} must agree"
    advantage = torch.zeros_like(rewards, dtype=torch.float64)
    for label in set(group.tolist()):
        rows = (group == label) & rewards.isfinite()
        siblings = rewards[rows].double()
        if len(siblings) > 1 and siblings.max() - siblings.min() > EQUAL:
            advantage[rows] = estimate(siblings)
    return advantage.float()


def centered(rewards: Tensor, group: Tensor) -> Tensor:
    """r - mean: Dr. GRPO (2503.20783). Its expected gradient is (G - 1) / G of the true one.  # [B]"""
    return per_group(rewards, group, lambda r: r - r.mean())


def leave_one_out(rewards: Tensor, group: Tensor) -> Tensor:
    """r_i - mean of the others = G / (G - 1) (r - mean): RLOO (2402.14740). Unbiased.  # [B]"""
    return per_group(rewards, group, lambda r: (r - r.mean()) * len(r) / (len(r) - 1))


def zscore(rewards: Tensor, group: Tensor, *, ddof: int, eps: float) -> Tensor:
    """(r - mean) / (std + eps): GRPO (2402.03300, section 4.1.2).  # [B]

    The paper states neither `ddof` nor `eps`; verl uses 1 and 1e-6, TRL 1 and 1e-4.
    """
    return per_group(rewards, group, lambda r: (r - r.mean()) / (r.std(correction=ddof) + eps))


def batch_scaled(rewards: Tensor, group: Tensor, *, ddof: int) -> Tensor:
    """(r - mean) / std over the batch of (r - mean): ScaleRL (2510.13786, section 4); `ddof` is not stated.  # [B]

    Drop groups without contrast first: they would make the std smaller.
    """
    advantage = centered(rewards, group).double()
    counted = advantage[rewards.isfinite()]
    scale = counted.std(correction=ddof) if len(counted) > ddof else counted.new_zeros(())
    return (advantage / scale).float() if scale > EQUAL else torch.zeros_like(rewards, dtype=torch.float32)


def maxrl(rewards: Tensor, group: Tensor) -> Tensor:
    """(r - mean) / mean: MaxRL (2602.02710). A group without a success teaches nothing.  # [B]

    With the baseline left out where nothing succeeded, its expected gradient is that of log p truncated after G - 1
    terms: - sum_(k < G) (1 - p)^k / k. Raises `UserError` for a reward other than 0 and 1, for which this has no
    meaning (the mean may be 0 or negative).
    """
    odd = rewards[rewards.isfinite() & (rewards != 0) & (rewards != 1)]
    if len(odd):
        raise UserError(f"a reward is {float(odd[0]):g}; maxrl is for rewards 0 and 1, use tailrl for graded ones")
    return per_group(rewards, group, lambda r: (r - r.mean()) / r.mean())


def tail(rewards: Tensor, group: Tensor) -> Tensor:
    """MaxRL at every threshold, for graded rewards: TailRL (Zanette-Labs).  # [B]

    With r sorted upwards, A_(i) = sum_(j <= i) (r_(j) - r_(j-1)) G / (G - j + 1), then its mean is subtracted. On
    rewards 0 and 1 it is `maxrl`.
    """

    def estimate(r: Tensor) -> Tensor:
        ordered, order = r.sort()
        gaps = ordered.diff(prepend=ordered[:1])  # [G]; the first is 0, as the mean takes away what all share
        reached = torch.arange(len(r), 0, -1, dtype=r.dtype)  # samples at or above each threshold
        advantage = torch.empty_like(r)
        advantage[order] = (gaps * len(r) / reached).cumsum(0)
        return advantage - advantage.mean()

    return per_group(rewards, group, estimate)


def process_zscore(rewards: Tensor, ends: Tensor, group: Tensor, *, ddof: int, eps: float) -> Tensor:
    """A_t = sum of (r_j - mean) / (std + eps) over the steps j that end at t or later: GRPO, 2402.03300.  # [B, T]

    Section 4.1.3, process supervision: r_j is what step j earned, mean and std are over all steps of the group's
    samples. `ends` [B, T] is 1 at the last token of each step. With one step a sample it is `zscore`. As in the paper a
    step below the mean counts against every token before it, so where most steps earn nothing, more steps cost more.
    """
    assert rewards.shape == ends.shape, f"rewards {tuple(rewards.shape)} and ends {tuple(ends.shape)} must agree"
    last = ends.bool() & rewards.isfinite().all(dim=1, keepdim=True)  # [B, T]
    earned = torch.zeros_like(rewards, dtype=torch.float64)
    for row, steps in enumerate(last):
        # what was earned up to the end of each step, less what was up to the end of the one before
        earned[row, steps] = rewards[row].double().cumsum(0)[steps].diff(prepend=earned.new_zeros(1))
    for label in set(group.tolist()):
        steps = last & (group == label)[:, None]
        r = earned[steps]
        if steps.any(dim=1).sum() > 1 and r.max() - r.min() > EQUAL:
            earned[steps] = (r - r.mean()) / (r.std(correction=ddof) + eps)
        else:
            earned[steps] = 0.0
    return reward_to_go(earned, gamma=1.0)


def reward_to_go(rewards: Tensor, *, gamma: float) -> Tensor:
    """G_t = r_t + gamma G_(t+1), token by token.  # [B, T]"""
    returns = torch.zeros_like(rewards, dtype=torch.float64)
    carried = returns.new_zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        carried = returns[:, t] = rewards[:, t].double() + gamma * carried
    return returns.float()


def gae(
    rewards: Tensor, values: Tensor, *, bootstrap: Tensor, discount: Tensor, mask: Tensor, gamma: float, lam: float
) -> Tensor:
    """A_t = delta_t + gamma lam A_(t+1), delta_t = r_t + gamma V_(t+1) - V_t: GAE (1506.02438, equation 16).  # [B, T]

    `values` [B, T] are of the states in which the tokens were chosen, `bootstrap` [B] of the states that the rows ended
    in. Where `discount` [B, T] is 0 nothing follows: a terminated row is worth its rewards alone, a truncated one goes
    on with its bootstrap. Tokens that the policy did not choose take no time: their rewards count for the choice before
    them, their values for nothing.
    """
    advantage = torch.zeros_like(rewards, dtype=torch.float64)
    value, after = bootstrap.double(), torch.zeros_like(bootstrap, dtype=torch.float64)  # V_(t+1), A_(t+1)
    earned = torch.zeros_like(after)  # by tokens of the environment, since the next choice
    for t in reversed(range(rewards.shape[1])):
        chosen, goes_on = mask[:, t] > 0, discount[:, t].double()
        value, after, earned = goes_on * value, goes_on * after, earned + rewards[:, t]
        estimate = earned + gamma * value - values[:, t] + gamma * lam * after
        advantage[:, t] = estimate.where(chosen, 0.0)
        value, after = values[:, t].double().where(chosen, value), estimate.where(chosen, after)
        earned = earned.where(~chosen, 0.0)
    return advantage.float()


def whiten(advantage: Tensor, mask: Tensor, *, ddof: int, eps: float) -> Tensor:
    """(A - mean) / sqrt(var + eps) over the tokens of the batch: REINFORCE++ (2501.03262, equation 10).  # [B, T]

    Long sequences count more. verl uses 1 and 1e-8, OpenRLHF 0 and a floor of 1e-8. Where all tokens have the same
    advantage, or there is one token, it is exactly 0.
    """
    counted = mask.bool() & advantage.isfinite()
    a = advantage[counted].double()
    whitened = torch.zeros_like(advantage, dtype=torch.float64)
    if len(a) > 1 and a.max() - a.min() > EQUAL:
        whitened[counted] = (a - a.mean()) / (a.var(correction=ddof) + eps).sqrt()
    return whitened.float()


def overlong(length: Tensor, *, limit: int) -> Tensor:
    """`overlong_cost` of each sequence, the term that an environment pays as reward `overlong`.  # [B] -> [B]

    For an agent that takes it off the rewards itself, whatever the environment pays.
    """
    return torch.tensor([overlong_cost(tokens, limit=limit) for tokens in length.tolist()])
