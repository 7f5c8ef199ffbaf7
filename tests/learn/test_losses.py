"""Surrogates: values of the worked example, gradients in closed form, and the law that on-policy all are REINFORCE."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reasonenv.learn.advantages import batch_scaled, centered, maxrl, zscore
from reasonenv.learn.losses import (
    binary_kl,
    binary_tv,
    capped_importance,
    clip_fractions,
    clipped,
    divergence_mask,
    divergence_masked,
    k3,
    likelihood,
    likelihood_ratio,
    reinforce,
    sequence_clipped,
    top_kl,
    top_tv,
)
from reasonenv.learn.weights import (
    constant,
    prompt_mean,
    sequence_mean,
    sequence_sum,
    token_mean,
    truncated_importance,
)


def verl(example) -> Tensor:
    return zscore(example.rewards, example.group, ddof=1, eps=1e-6)[:, None].double()


def plain(example) -> Tensor:
    return centered(example.rewards, example.group)[:, None].double()


def ppo(example, logp: Tensor, low: float = 0.2, high: float = 0.2) -> Tensor:
    return clipped(logp, anchor=example.old, advantage=verl(example), low=low, high=high)


def gold(loss: Tensor, expected: float) -> None:
    assert float(loss.double()) == pytest.approx(expected, abs=6e-7)


def gradient(loss, logp: Tensor) -> Tensor:
    leaf = logp.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf).sum(), leaf)[0]


def test_clipped_of_the_worked_example(example) -> None:
    gold((token_mean(example.mask) * ppo(example, example.new)).sum(), 0.150928)
    gold((sequence_mean(example.mask) * ppo(example, example.new)).sum(), 0.003099)
    gold((token_mean(example.mask) * ppo(example, example.new, high=0.28)).sum(), 0.144332)


@pytest.mark.parametrize(
    ("weigh", "expected"),
    [
        (lambda e: sequence_sum(e.mask), 0.396187),
        (lambda e: constant(e.mask, length=4), 0.099047),
        (lambda e: prompt_mean(e.mask, e.group), 0.153675),
    ],
)
def test_clipped_of_the_worked_example_under_other_weights(example, weigh, expected: float) -> None:
    gold((weigh(example) * ppo(example, example.new)).sum(), expected)


def test_losses_with_other_advantages_of_the_worked_example(example) -> None:
    box = {"anchor": example.old, "low": 0.2, "high": 0.2}
    dr_grpo = clipped(example.new, advantage=plain(example), **box)
    gold((constant(example.mask, length=4) * dr_grpo).sum(), 0.054632)
    # (r - mean) / (mean + 1e-6) in the source; without the 1e-6 the sixth decimal could differ by one
    advantage = maxrl(example.rewards, example.group)[:, None].double()
    gold((token_mean(example.mask) * clipped(example.new, advantage=advantage, **box)).sum(), 0.216780)
    gold((token_mean(example.mask) * reinforce(example.new, advantage=plain(example))).sum(), -0.083929)


@pytest.mark.parametrize(("cap", "expected"), [(1.2, -0.089847), (5.0, -0.080112)])
def test_cispo_of_the_worked_example(example, cap: float, expected: float) -> None:
    loss = capped_importance(example.new, anchor=example.old, advantage=verl(example), cap=cap)
    gold((token_mean(example.mask) * loss).sum(), expected)


def test_scalerl_of_the_worked_example(example) -> None:
    advantage = batch_scaled(example.rewards, example.group, ddof=0)[:, None].double()
    loss = capped_importance(example.new, anchor=example.old, advantage=advantage, cap=5.0)
    gold((prompt_mean(example.mask, example.group) * loss).sum(), -0.099332)


@pytest.mark.parametrize(
    ("divergence", "limit", "expected"), [(binary_tv, 0.10, -0.095239), (binary_kl, 0.02, -0.061265)]
)
def test_dppo_of_the_worked_example(example, divergence, limit: float, expected: float) -> None:
    d = divergence(example.new, example.old)
    loss = divergence_masked(example.new, anchor=example.old, advantage=plain(example), divergence=d, limit=limit)
    gold((token_mean(example.mask) * loss).sum(), expected)


def test_gspo_of_the_worked_example(example) -> None:
    box = {"anchor": example.old, "mask": example.mask, "low": 0.05, "high": 0.05}
    loss = sequence_clipped(example.new, advantage=verl(example), **box)
    gold((sequence_mean(example.mask) * loss).sum(), 0.013741)


def test_grpo_loss_of_the_worked_example(example) -> None:
    loss = ppo(example, example.new) + 0.04 * k3(example.new, example.ref)
    gold((sequence_mean(example.mask) * loss).sum(), 0.004814)


def test_clipped_has_no_gradient_where_the_ratio_has_left_the_box_in_the_direction_of_the_advantage() -> None:
    # ratios 1.5, 0.5, 1.0 under A = 1, then under A = -1: the clip stops up-moves of good and down-moves of bad tokens
    logp = torch.tensor([1.5, 0.5, 1.0, 1.5, 0.5, 1.0]).log()[None]
    advantage = torch.tensor([[1.0, 1, 1, -1, -1, -1]])
    found = gradient(lambda x: clipped(x, anchor=torch.zeros(1, 6), advantage=advantage, low=0.2, high=0.2), logp)
    assert torch.allclose(found, torch.tensor([[0.0, -0.5, -1.0, 1.5, 0.0, 1.0]]))  # - A r inside the box


def test_cispo_keeps_the_gradient_of_every_token_and_caps_its_weight() -> None:
    logp = torch.tensor([4.0, 1.0, 0.5]).log()[None]
    found = gradient(
        lambda x: capped_importance(x, anchor=torch.zeros(1, 3), advantage=torch.ones(1, 1), cap=2.0), logp
    )
    assert torch.allclose(found, torch.tensor([[-2.0, -1.0, -0.5]]))


def test_dppo_masks_only_what_leads_further_away() -> None:
    # mu = 0.5; pi moved by 0.3 up or down, or by 0.1: under A = 1 the far rise is masked, under A = -1 the far fall
    mu, pi = torch.full((1, 6), 0.5).log(), torch.tensor([[0.8, 0.2, 0.6, 0.8, 0.2, 0.4]]).log()
    advantage = torch.tensor([[1.0, 1, 1, -1, -1, -1]])

    def loss(x: Tensor) -> Tensor:
        return divergence_masked(x, anchor=mu, advantage=advantage, divergence=binary_tv(x, mu), limit=0.2)

    assert torch.allclose(gradient(loss, pi), torch.tensor([[0.0, -0.4, -1.2, 1.6, 0.0, 0.8]]))


def test_divergences_are_those_of_two_coins() -> None:
    mu, pi = torch.tensor([0.5, 0.9, 1.0]).double().log(), torch.tensor([0.25, 0.9, 1.0]).double().log()
    assert torch.allclose(binary_tv(pi, mu), torch.tensor([0.25, 0.0, 0.0]).double())
    # 0.5 log 2 + 0.5 log(0.5 / 0.75) = 0.346574 - 0.202733
    assert torch.allclose(binary_kl(pi, mu), torch.tensor([0.143841, 0.0, 0.0]).double(), atol=1e-6)


def test_divergences_over_listed_tokens_are_those_of_dice() -> None:
    # mu = .5 .3 | .2 and pi = .4 .2 | .4: half of .1 + .1 + .2; .5 log(5/4) + .3 log(3/2) + .2 log(1/2) = .111572 +
    # .121640 - .138629
    mu, pi = (torch.tensor([[p]]).double().log() for p in ([0.5, 0.3], [0.4, 0.2]))
    assert torch.allclose(top_tv(pi, mu), torch.tensor([[0.2]]).double())
    assert torch.allclose(top_kl(pi, mu), torch.tensor([[0.094583]]).double(), atol=1e-6)


def test_the_sampled_token_alone_has_the_binary_divergences_and_more_tokens_see_no_less(example) -> None:
    for top, binary in ((top_tv, binary_tv), (top_kl, binary_kl)):
        assert torch.allclose(top(example.new[..., None], example.old[..., None]), binary(example.new, example.old))
    mu, pi = (torch.rand(2, 5, 4, 8, generator=torch.Generator().manual_seed(0)).double()).log_softmax(dim=-1)
    for divergence in (top_tv, top_kl):
        seen = torch.stack([divergence(pi[..., :k], mu[..., :k]) for k in range(1, 8)])
        assert (seen.diff(dim=0) > -1e-12).all()  # merging tokens into "any other" can only hide a difference
        whole = 0.5 * (pi.exp() - mu.exp()).abs() if divergence is top_tv else mu.exp() * (mu - pi)
        assert torch.allclose(seen[-1], whole.sum(dim=-1), atol=1e-6)  # all but one of eight: the last is the other


def test_no_gradient_flows_through_a_divergence(example) -> None:
    logp = example.new.clone().requires_grad_()
    for divergence in (binary_tv, binary_kl):
        assert not divergence(logp, example.old).requires_grad
    for divergence in (top_tv, top_kl):
        assert not divergence(logp[..., None], example.old[..., None]).requires_grad


def test_gspo_has_one_ratio_a_sequence_and_shares_its_gradient_among_the_tokens() -> None:
    # log-ratios 0.1 and 0.3, mean 0.2: under sequence_mean every token has - A s / (B L) = - e^0.2 / 2
    logp, mask = torch.tensor([[0.1, 0.3, 9.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    box = {"anchor": torch.zeros(1, 3), "advantage": torch.ones(1, 1), "mask": mask}
    inside = gradient(lambda x: sequence_mean(mask) * sequence_clipped(x, **box, low=0.5, high=0.5), logp)
    assert torch.allclose(inside, -torch.tensor([[0.2, 0.2, -torch.inf]]).exp() / 2)
    outside = gradient(lambda x: sequence_mean(mask) * sequence_clipped(x, **box, low=0.1, high=0.1), logp)
    assert outside.tolist() == [[0.0, 0.0, 0.0]]


SMOOTH = {
    "likelihood": lambda e, x: likelihood(x),
    "reinforce": lambda e, x: reinforce(x, advantage=verl(e)),
    "clipped": lambda e, x: ppo(e, x),
    "sequence_clipped": lambda e, x: sequence_clipped(
        x, anchor=e.old, advantage=verl(e), mask=e.mask, low=0.05, high=0.05
    ),
    "grpo": lambda e, x: ppo(e, x) + 0.04 * k3(x, e.ref),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_those_of_finite_differences(example, name: str) -> None:
    # none of the ratios of the example lies within 1e-4 of an edge of the box
    assert torch.autograd.gradcheck(lambda x: SMOOTH[name](example, x), example.new.clone().requires_grad_(), eps=1e-6)


ON_POLICY = {
    "reinforce": lambda e, x, a: reinforce(x, advantage=a),
    "clipped": lambda e, x, a: clipped(x, anchor=e.new, advantage=a, low=0.2, high=0.2),
    "capped_importance": lambda e, x, a: capped_importance(x, anchor=e.new, advantage=a, cap=5.0),
    "divergence_masked tv": lambda e, x, a: divergence_masked(
        x, anchor=e.new, advantage=a, divergence=binary_tv(x, e.new), limit=0.1
    ),
    "divergence_masked kl": lambda e, x, a: divergence_masked(
        x, anchor=e.new, advantage=a, divergence=binary_kl(x, e.new), limit=0.1
    ),
    "sequence_clipped": lambda e, x, a: sequence_clipped(
        x, anchor=e.new, advantage=a, mask=e.mask, low=3e-4, high=4e-4
    ),
}


@pytest.mark.parametrize("name", ON_POLICY)
def test_on_policy_every_surrogate_has_the_gradient_of_reinforce(example, name: str) -> None:
    advantage = verl(example)
    found = gradient(lambda x: ON_POLICY[name](example, x, advantage) * example.mask, example.new)
    assert torch.allclose(found, -advantage * example.mask, atol=1e-12)


def test_where_clipping_takes_the_gradient_is_told() -> None:
    # ratios 0.7, 1.0, 1.3 under advantages -1, 0 and 1: only a step that leads further away is stopped
    ratio = torch.tensor([0.7, 1.0, 1.3]).repeat(3, 1)
    advantage = torch.tensor([[-1.0], [0.0], [1.0]])
    found = clip_fractions(ratio, advantage=advantage, low=0.2, high=0.2)
    assert found["clip/low"].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert found["clip/high"].tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_clip_fractions_are_where_the_clipped_loss_has_no_gradient(example) -> None:
    advantage = verl(example)
    slope = gradient(lambda x: clipped(x, anchor=example.old, advantage=advantage, low=0.2, high=0.2), example.new)
    told = clip_fractions((example.new - example.old).exp(), advantage=advantage, low=0.2, high=0.2)
    assert torch.equal(told["clip/low"] + told["clip/high"] > 0, slope == 0)


def test_the_divergence_mask_is_where_the_masked_loss_has_no_gradient(example) -> None:
    ratio, advantage = (example.new - example.old).exp(), plain(example)
    how = {"advantage": advantage, "divergence": binary_tv(example.new, example.old), "limit": 0.05}
    slope = gradient(lambda x: divergence_masked(x, anchor=example.old, **how), example.new)
    assert torch.equal(divergence_mask(ratio, **how), slope == 0)
    assert 0 < int((slope == 0).sum()) < slope.numel()


FAR = [-1e4, -200.0, -90.0, -89.0, 89.0, 90.0, 200.0, 1e4]  # log-ratios; exp overflows in float32 above 88.7
RATIOS = {
    "clipped": lambda logp, anchor, a: clipped(logp, anchor=anchor, advantage=a, low=0.2, high=0.2),
    "capped": lambda logp, anchor, a: capped_importance(logp, anchor=anchor, advantage=a, cap=5.0),
    "masked": lambda logp, anchor, a: divergence_masked(
        logp, anchor=anchor, advantage=a, divergence=torch.ones_like(logp), limit=0.5
    ),
    "sequence": lambda logp, anchor, a: sequence_clipped(
        logp, anchor=anchor, advantage=a, mask=torch.ones_like(logp), low=3e-4, high=4e-4
    ),
}


@pytest.mark.parametrize("name", RATIOS)
@pytest.mark.parametrize("distance", FAR)
@pytest.mark.parametrize("advantage", [-2.0, 0.0, 2.0])
def test_far_from_the_anchor_losses_and_gradients_are_finite(name: str, distance: float, advantage: float) -> None:
    logp = torch.full((1, 2), min(distance, 0.0)).requires_grad_()  # neither is above 0
    anchor = torch.full((1, 2), min(-distance, 0.0))
    loss = RATIOS[name](logp, anchor, torch.full((1, 1), advantage))
    (slope,) = torch.autograd.grad(loss.sum(), logp)
    assert loss.isfinite().all()
    assert slope.isfinite().all()
    if advantage == 0 or (name != "capped" and distance * advantage > 0):  # there is nothing to gain, or it is clipped
        assert not slope.any()


@pytest.mark.parametrize("distance", FAR)
def test_k3_far_from_the_reference_is_finite(distance: float) -> None:
    logp = torch.tensor([distance]).requires_grad_()
    loss = k3(logp, torch.zeros(1))
    (slope,) = torch.autograd.grad((0.0 * loss).sum(), logp, retain_graph=True)
    assert slope.isfinite().all()
    (slope,) = torch.autograd.grad(loss.sum(), logp)
    assert loss.isfinite().all()
    # 1 - exp(-d) above, and no gradient where the exponential is cut
    assert float(slope) == pytest.approx(1.0 if distance > 0 else 0.0)


def test_an_ordinary_ratio_is_the_exponential_to_the_bit() -> None:
    logp = torch.linspace(-79, 79, 1001).requires_grad_()
    plain_ratio, ratio = logp.exp(), likelihood_ratio(logp, torch.zeros(1001))
    assert torch.equal(ratio, plain_ratio)
    one, other = (torch.autograd.grad(x.sum(), logp)[0] for x in (ratio, plain_ratio))
    assert torch.equal(one, other)
    d = logp.detach()
    assert torch.equal(k3(d, torch.zeros(1001)), (-d).exp() + d - 1)
    weight = truncated_importance(torch.tensor([[90.0, 0.5]]), torch.zeros(1, 2), cap=2.0)
    assert torch.equal(weight, torch.tensor([[2.0, 0.5]]).where(torch.tensor([[True, False]]), torch.tensor(0.5).exp()))
